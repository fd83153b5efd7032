// The part of CommonMark that openapi.yaml uses: paragraphs, lists, tables, **bold**, *stress*, `code`.

import { make } from "./elements.js";

const SPANS = /`([^`]+)`|\*\*([^*]+)\*\*|\*([^*\s][^*]*)\*/g;
const ITEM = /^(?:[*-]|\d+\.) /;

export function spans(text) {
  const parts = [];
  let end = 0;
  for (const match of text.matchAll(SPANS)) {
    parts.push(text.slice(end, match.index));
    if (match[1]) parts.push(make("code", {}, match[1]));
    else if (match[2]) parts.push(make("strong", {}, spans(match[2])));
    else parts.push(make("em", {}, match[3]));
    end = match.index + match[0].length;
  }
  parts.push(text.slice(end));
  return parts;
}

function list(lines) {
  const items = [];
  for (const line of lines) {
    if (ITEM.test(line)) items.push(line.replace(ITEM, ""));
    else items[items.length - 1] += " " + line.trim();
  }
  const tag = /^\d/.test(lines[0]) ? "ol" : "ul";
  return make(tag, {}, items.map((item) => make("li", {}, spans(item))));
}

function table(lines) {
  const rows = lines.map((line) => line.trim().slice(1, -1).split("|").map((cell) => cell.trim()));
  const row = (cells, tag) => make("tr", {}, cells.map((cell) => make(tag, {}, spans(cell))));
  return make(
    "div",
    { class: "wide" },
    make("table", {}, make("thead", {}, row(rows[0], "th")), make("tbody", {}, rows.slice(2).map((cells) => row(cells, "td")))),
  );
}

export function markdown(text) {
  return (text ?? "")
    .trim()
    .split(/\n{2,}/)
    .filter(Boolean)
    .map((block) => {
      const lines = block.split("\n");
      if (lines[0].startsWith("|")) return table(lines);
      if (ITEM.test(lines[0])) return list(lines);
      return make("p", {}, spans(lines.join(" ")));
    });
}
