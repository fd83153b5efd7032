// What a body can look like.

import { asJson } from "./elements.js";
import { resolve } from "./schema.js";

const asText = (value) => (typeof value === "string" ? value : asJson(value));

// [[name, text], …] of a media type: its own examples, else those of its schema.
export function examplesOf(media) {
  const named = Object.entries(media.examples ?? {}).map(([name, given]) => {
    const example = resolve(given);
    return [example.summary ?? name, asText(example.value)];
  });
  if (named.length > 0) return named;
  return (resolve(media.schema)?.examples ?? []).map((value) => [
    value.error_code === undefined ? "Example" : String(value.error_code),
    asText(value),
  ]);
}
