// Small helpers for elements.

export const $ = (selector, root = document) => root.querySelector(selector);

/** Make an element. `on...` are listeners, other values that are no texts are properties. */
export function h(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (typeof value === "string") made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

export const button = (text, onclick, attributes = {}) =>
  h("button", { type: "button", onclick, ...attributes }, text);

let counted = 0;

/** A labelled control, with room for a hint and for what is wrong with it. */
export function field(param, label, control, hint = "") {
  const id = control.id || `f${++counted}`;
  control.id = id;
  const about = hint ? h("p", { class: "hint", id: `${id}-about` }, hint) : null;
  if (about) control.setAttribute("aria-describedby", about.id);
  const made = h("div", { class: "field" }, h("label", { for: id }, label), control, about,
    h("p", { class: "problem" }));
  made.dataset.param = param;
  return made;
}

/** Tell users of screen readers. */
export function say(text) {
  $("#said").textContent = text;
}
