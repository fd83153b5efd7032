// A form that sends one request and shows the answer, and the curl line that does the same.

import { asJson, code, make } from "./elements.js";
import { examplesOf } from "./examples.js";
import { resolve } from "./schema.js";

const HOME = new URL("..", document.baseURI);
// An answer longer than this is cut on the page, so that a large fetch does not freeze it.
const SHOWN_CHARACTERS = 200_000;

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

function field(label, input) {
  return make("label", {}, make("span", {}, label), input);
}

function select(options) {
  return make("select", {}, options.map((option) => make("option", { value: option }, option)));
}

function parameterInput(parameter) {
  const { example } = parameter;
  const value = parameter.required ? example : "";
  const hint = Array.isArray(example) ? example.join(", ") : (example ?? Object.values(parameter.examples ?? {})[0]?.value);
  const choices = resolve(parameter.schema).enum;
  return choices ? select(["", ...choices]) : make("input", { value, placeholder: hint, spellcheck: "false" });
}

function addressOf(path, parameters, inputs) {
  const query = new URLSearchParams();
  let filled = path;
  for (const parameter of parameters) {
    const text = inputs.get(parameter.name).value;
    if (parameter.in === "path") {
      filled = filled.replace(`{${parameter.name}}`, encodeURIComponent(text));
    } else if (text !== "") {
      const many = resolve(parameter.schema).type === "array";
      for (const one of many ? text.split(",") : [text]) query.append(parameter.name, one.trim());
    }
  }
  // Text, not `new URL`: that would take a name of "..", however encoded, for the folder above.
  const asked = query.toString();
  return HOME.href.replace(/\/$/, "") + filled + (asked ? `?${asked}` : "");
}

function shown(text, type) {
  if (text.length > SHOWN_CHARACTERS) return `${text.slice(0, SHOWN_CHARACTERS)}\n… and ${text.length - SHOWN_CHARACTERS} more characters`;
  // What JSON.parse would change (integers beyond 2^53, 1.0) is shown as it came.
  if (!type.includes("json")) return text;
  try {
    const value = JSON.parse(text);
    return JSON.stringify(value) === text ? asJson(value) : text;
  } catch {
    return text;
  }
}

async function send(output, address, options, curl) {
  output.replaceChildren(code(curl), make("p", {}, "Waiting for the answer…"));
  const start = performance.now();
  try {
    const response = await fetch(address, options);
    const text = await response.text();
    const took = Math.round(performance.now() - start);
    const type = response.headers.get("content-type") ?? "";
    output.replaceChildren(
      code(curl),
      make("p", { class: response.ok ? "good" : "bad" }, make("strong", {}, `${response.status} ${response.statusText}`), ` ${type} ${took} ms`),
      text ? code(shown(text, type)) : make("p", {}, "No body."),
    );
  } catch (failure) {
    output.replaceChildren(code(curl), make("p", { class: "bad" }, `No answer: ${failure.message}`));
  }
}

export function attempt(path, method, operation, parameters) {
  const inputs = new Map(parameters.map((parameter) => [parameter.name, parameterInput(parameter)]));
  const answers = Object.entries(operation.responses).find(([status]) => status.startsWith("2"))[1];
  const accept = select(Object.keys(resolve(answers).content ?? { "*/*": {} }));
  const content = resolve(operation.requestBody)?.content;
  const type = content && select(Object.keys(content));
  const example = content && select([]);
  const body = content && make("textarea", { rows: "10", spellcheck: "false" });
  const fill = () => {
    const known = examplesOf(content[type.value]);
    example.replaceChildren(...known.map(([name, text]) => make("option", { value: text }, name.replaceAll("`", ""))));
    body.value = example.value;
  };
  if (content) {
    type.addEventListener("change", fill);
    example.addEventListener("change", () => (body.value = example.value));
    fill();
  }
  const output = make("div", { class: "output", "aria-live": "polite" });
  const submit = (event) => {
    event.preventDefault();
    const address = addressOf(path, parameters, inputs);
    const headers = { Accept: accept.value };
    const lines = [`curl -s ${method === "get" ? "" : `-X ${method.toUpperCase()} `}${quoted(address)}`, `-H ${quoted(`Accept: ${accept.value}`)}`];
    const sends = content && body.value !== "";
    if (sends) {
      headers["Content-Type"] = type.value;
      lines.push(`-H ${quoted(`Content-Type: ${type.value}`)}`, `--data-binary ${quoted(body.value)}`);
    }
    const options = { method: method.toUpperCase(), headers, body: sends ? body.value : undefined };
    send(output, address, options, lines.join(" \\\n  "));
  };
  return make(
    "form",
    { class: "attempt", onsubmit: submit },
    make("div", { class: "fields" }, parameters.map((parameter) => field(parameter.name, inputs.get(parameter.name))), field("Accept", accept), content ? [field("Content-Type", type), field("Example", example)] : null),
    content ? field("Body", body) : null,
    make("button", { type: "submit" }, "Send"),
    output,
  );
}
