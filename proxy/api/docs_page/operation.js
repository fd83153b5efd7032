// One operation: what it does, what it takes, what it answers.

import { attempt } from "./attempt.js";
import { code, make, tabs } from "./elements.js";
import { examplesOf } from "./examples.js";
import { markdown, spans } from "./markdown.js";
import { limits, resolve, schemaTree, typeOf } from "./schema.js";

function bodyView(content) {
  return tabs(
    "Media type",
    Object.entries(content).map(([type, media]) => [
      type,
      () =>
        tabs("View", [
          ...examplesOf(media).map(([name, text]) => [name.replaceAll("`", ""), () => code(text)]),
          ["Schema", () => schemaTree(media.schema)],
        ]),
    ]),
  );
}

function parameterTable(parameters) {
  const rows = parameters.map((given) => {
    const said = limits(given.schema);
    return make(
      "tr",
      {},
      make("td", {}, make("code", { class: "name" }, given.name), given.required ? make("span", { class: "required" }, " required") : null),
      make("td", {}, given.in),
      make("td", {}, typeOf(given.schema), said ? make("div", { class: "limits" }, said) : null),
      make("td", {}, markdown(given.description)),
    );
  });
  const head = ["name", "in", "type", "meaning"].map((title) => make("th", {}, title));
  return make("div", { class: "wide" }, make("table", {}, make("thead", {}, make("tr", {}, head)), make("tbody", {}, rows)));
}

function responseView([status, given]) {
  const response = resolve(given);
  const headers = Object.entries(response.headers ?? {}).map(([name, header]) =>
    make("li", {}, make("code", {}, name), ": ", spans(resolve(header).description)),
  );
  return make(
    "details",
    { class: status.startsWith("2") ? "response good" : "response", open: status.startsWith("2") },
    make("summary", {}, make("strong", {}, status), " ", spans(response.description.trim())),
    headers.length > 0 ? make("ul", {}, headers) : null,
    response.content ? bodyView(response.content) : make("p", {}, "No body."),
  );
}

export function operationView(path, method, operation, shared) {
  const parameters = [...shared, ...(operation.parameters ?? [])].map(resolve);
  const body = resolve(operation.requestBody ?? operation["x-request-body"]);
  const details = make(
    "details",
    { class: `operation ${method}`, id: operation.operationId },
    make(
      "summary",
      {},
      make("span", { class: "method" }, method.toUpperCase()),
      make("code", { class: "path" }, path),
      make("span", { class: "about" }, operation.summary),
    ),
  );
  // Drawn when opened: thirty operations with all their schemas are ten thousand elements.
  details.addEventListener(
    "toggle",
    () => {
      details.append(
        ...markdown(operation.description),
        ...(parameters.length > 0 ? [make("h4", {}, "Parameters"), parameterTable(parameters)] : []),
        ...(body ? [make("h4", {}, "Request body", body.required ? "" : " (optional)"), ...markdown(body.description), bodyView(body.content)] : []),
        make("h4", {}, "Try it"),
        attempt(path, method, operation, parameters),
        make("h4", {}, "Answers"),
        ...Object.entries(operation.responses).map(responseView),
      );
    },
    { once: true },
  );
  return details;
}
