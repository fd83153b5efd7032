// JSON Schema as something to read: one line a member, with its type, limits, default and description.

import { make } from "./elements.js";
import { spans } from "./markdown.js";

let root = {};

export function setRoot(openapi) {
  root = openapi;
}

export function resolve(node) {
  if (node === undefined || node.$ref === undefined) return node;
  const { $ref, ...beside } = node;
  const target = $ref
    .slice(2)
    .split("/")
    .reduce((at, name) => at[name.replaceAll("~1", "/").replaceAll("~0", "~")], root);
  return { ...resolve(target), ...beside };
}

// The members of `allOf` taken together: how our error schemas say which codes they bear.
function flat(schema) {
  const { allOf = [], ...own } = resolve(schema) ?? {};
  return allOf.map(flat).reduce((sum, part) => {
    const properties = { ...sum.properties };
    for (const [name, member] of Object.entries(part.properties ?? {})) {
      properties[name] = { ...resolve(properties[name]), ...member };
    }
    return { ...part, ...sum, ...(Object.keys(properties).length > 0 && { properties }) };
  }, own);
}

export function typeOf(given) {
  const schema = flat(given);
  const choices = schema.anyOf ?? (schema.properties ? undefined : schema.oneOf);
  if (choices && !schema.type) return [...new Set(choices.map(typeOf))].join(" or ");
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  const types = [schema.type ?? (schema.enum ? "" : "any JSON")].flat();
  const format = schema.format ?? schema.contentEncoding;
  return types.map((type) => (type === "null" || !format ? type : `${type} (${format})`)).join(" or ");
}

export function limits(given) {
  const schema = flat(given);
  const said = [];
  if (schema.enum) said.push(`one of ${schema.enum.map((one) => JSON.stringify(one)).join(", ")}`);
  if (schema.minimum !== undefined) said.push(`${schema.minimum} or more`);
  if (schema.maximum !== undefined && schema.maximum < Number.MAX_SAFE_INTEGER) said.push(`${schema.maximum} at most`);
  if (schema.minLength > 1) said.push(`${schema.minLength} characters or more`);
  if (schema.maxLength) said.push(`${schema.maxLength} characters at most`);
  if (schema.minItems > 0) said.push(`${schema.minItems} or more`);
  if (schema.pattern) said.push(schema.pattern);
  if (schema.default !== undefined) said.push(`default ${JSON.stringify(schema.default)}`);
  return said.join("; ");
}

function inner(given) {
  const schema = flat(given);
  if (schema.properties) {
    return Object.entries(schema.properties).map(([name, member]) =>
      line(name, member, (schema.required ?? []).includes(name)),
    );
  }
  if (schema.items) return line("each", schema.items, false);
  const branches = (schema.anyOf ?? schema.oneOf ?? []).filter((one) => flat(one).properties);
  return branches.map((one, at) => line(at === 0 ? "either" : "or", one, false));
}

function line(name, given, required) {
  const schema = flat(given);
  const type = typeOf(schema);
  return make(
    "li",
    {},
    make("code", { class: "name" }, name),
    " ",
    make("span", { class: "type" }, schema.enum && !schema.type ? "" : type),
    required ? make("span", { class: "required" }, " required") : null,
    make("span", { class: "limits" }, " ", limits(schema)),
    schema.description ? make("div", { class: "said" }, spans(schema.description.split("\n\n")[0])) : null,
    make("ul", {}, inner(schema)),
  );
}

export function schemaTree(given) {
  return make("ul", { class: "schema" }, line("body", given, false));
}
