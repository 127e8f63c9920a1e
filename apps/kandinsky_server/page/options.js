// Controls for the options that a task takes, made of what the server tells of its fields.

import { field, h } from "./dom.js";
import { optionName } from "./words.js";

/**
 * A control for one option.
 *
 * @param about The field as the capabilities describe it.
 * @param usual The default; null where the model decides.
 * @returns {{element, read, write}} `read` gives undefined where the model decides.
 */
export function option(name, about, usual) {
  if (about.kind === "flag") return flag(name, about, usual);
  if (about.choices.length) return choice(name, optionName(name), about.choices, usual);
  if (about.kind === "number" && about.high <= 1) return slider(name, about, usual);
  const whole = about.kind === "whole";
  const input = h("input", { type: "number", inputmode: whole ? "numeric" : "decimal",
    min: String(about.low), max: String(about.high), step: whole ? "1" : "any",
    placeholder: "the model's own", value: text(usual) });
  return {
    element: field(name, optionName(name), input, about.about),
    read: () => (input.value === "" ? undefined : Number(input.value)),
    write: (value) => (input.value = text(value ?? usual)),
  };
}

function slider(name, about, usual) {
  const shown = h("output", {});
  const input = h("input", { type: "range", min: String(about.low), max: String(about.high), step: "0.01",
    oninput: () => (shown.textContent = Number(input.value).toFixed(2)) });
  const write = (value) => {
    input.value = text(value ?? usual ?? about.high);
    shown.textContent = Number(input.value).toFixed(2);
  };
  write(usual);
  const element = field(name, optionName(name), input, about.about);
  element.firstChild.append(shown);
  return { element, read: () => Number(input.value), write };
}

function flag(name, about, usual) {
  const input = h("input", { type: "checkbox", checked: Boolean(usual) });
  const element = field(name, optionName(name), input, about.about);
  element.classList.add("check");
  return { element, read: () => input.checked, write: (value) => (input.checked = Boolean(value ?? usual)) };
}

/** A choice among words; `none` is the text for leaving it to the server. */
export function choice(name, label, words, usual = null, none = null, shown = (word) => word) {
  const select = h("select", {}, none ? h("option", { value: "" }, none) : null,
    words.map((word) => h("option", { value: word }, shown(word))));
  const write = (value) => (select.value = words.includes(value) ? value : (usual ?? select.options[0].value));
  write(usual);
  return { element: field(name, label, select), read: () => select.value || undefined, write };
}

const text = (value) => (value === null || value === undefined ? "" : String(value));
