// Elements, made of text alone: no HTML is ever parsed, so nothing in the document or in an answer
// can become script. Held by the Content-Security-Policy too (`require-trusted-types-for`).

export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

// A row of choices over one panel at a time: [[label, () => element], …], drawn when chosen.
export function tabs(label, choices) {
  const panel = make("div");
  const buttons = choices.map(([name, draw]) =>
    make("button", { type: "button", onclick: () => choose(name, draw) }, name),
  );
  const choose = (name, draw) => {
    panel.replaceChildren(draw());
    for (const button of buttons) {
      button.setAttribute("aria-pressed", String(button.textContent === name));
    }
  };
  if (choices.length > 0) choose(...choices[0]);
  return make("div", { class: "tabs" }, make("div", { role: "group", "aria-label": label }, buttons), panel);
}

export const asJson = (value) => JSON.stringify(value, null, 2);

export function code(text) {
  return make("pre", { tabindex: "0" }, make("code", {}, text));
}
