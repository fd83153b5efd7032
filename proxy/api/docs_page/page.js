// The page: fetches the document beside it and shows it, operations by tag, schemas of errors last.

import { make } from "./elements.js";
import { markdown, spans } from "./markdown.js";
import { operationView } from "./operation.js";
import { setRoot } from "./schema.js";

const METHODS = ["get", "post", "put", "patch", "delete"];

function operationsOf(openapi, tag) {
  return Object.entries(openapi.paths).flatMap(([path, item]) =>
    METHODS.filter((method) => item[method]?.tags?.includes(tag)).map((method) => [path, method, item[method], item.parameters ?? []]),
  );
}

function openTarget() {
  const target = document.getElementById(location.hash.slice(1));
  if (target === null) return;
  if (target instanceof HTMLDetailsElement) target.open = true;
  target.scrollIntoView();
}

// `<base>` makes "#x" a link to …/docs/#x, another page than …/docs: set the fragment ourselves.
function link(id, ...children) {
  const go = (event) => {
    event.preventDefault();
    history.pushState(null, "", `${location.pathname}${location.search}#${id}`);
    openTarget();
  };
  return make("a", { href: `${location.pathname}#${id}`, onclick: go }, children);
}

function draw(openapi) {
  setRoot(openapi);
  const sections = openapi.tags.map((tag) => {
    const id = `tag-${tag.name.toLowerCase().replaceAll(" ", "-")}`;
    return { tag, id, operations: operationsOf(openapi, tag.name) };
  });
  document.getElementById("contents").replaceChildren(
    make("strong", {}, link("top", openapi.info.title)),
    ...sections.flatMap(({ tag, id, operations }) => [
      make("h2", {}, link(id, tag.name)),
      make("ul", {}, operations.map(([, method, operation]) =>
        make("li", {}, link(operation.operationId, make("span", { class: `dot ${method}` }, method.toUpperCase()), operation.summary)),
      )),
    ]),
    make("h2", {}, link("error-codes", "Error codes")),
  );
  document.getElementById("page").replaceChildren(
    make("h1", { id: "top" }, openapi.info.title, " ", make("small", {}, openapi.info.version)),
    make("p", { class: "summary" }, openapi.info.summary, " ", make("a", { href: "../openapi.json" }, "openapi.json")),
    ...markdown(openapi.info.description),
    ...sections.map(({ tag, id, operations }) =>
      make("section", {}, make("h2", { id }, tag.name), markdown(tag.description), operations.map((one) => operationView(...one))),
    ),
    make("section", {}, make("h2", { id: "error-codes" }, "Error codes"), markdown(openapi.components.schemas.ErrorCode.description)),
  );
  addEventListener("hashchange", openTarget);
  addEventListener("popstate", openTarget);
  openTarget();
}

try {
  const response = await fetch("../openapi.json", { headers: { Accept: "application/json" } });
  if (!response.ok) throw new Error(`openapi.json: ${response.status} ${response.statusText}`);
  draw(await response.json());
} catch (failure) {
  document.getElementById("page").replaceChildren(make("p", { class: "bad" }, spans(failure.message)));
}
