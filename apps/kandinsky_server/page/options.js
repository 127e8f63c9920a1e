// Controls for options, made of what the server tells of its fields.

import { field, h } from "./dom.js";
import { optionName } from "./words.js";

/** A control for one option; `read` gives undefined where the model decides. */
export function option(name, about, usual) {
	if (about.kind === "flag") return flag(name, about, usual);
	const whole = about.kind === "whole";
	const sliding = !whole && about.high <= 1;
	const input = h("input", { type: sliding ? "range" : "number", inputmode: whole ? "numeric" : "decimal",
		min: about.low, max: about.high, step: whole ? "1" : sliding ? "0.01" : "any",
		placeholder: "the model's own" });
	const element = field(name, optionName(name), input, about.about);
	const shown = sliding ? element.firstChild.appendChild(h("output")) : {};
	input.oninput = () => (shown.textContent = input.value);
	const write = (value) => {
		input.value = value ?? usual ?? "";
		input.oninput();
	};
	write();
	return { element, write, usual, read: () => (input.value === "" ? undefined : Number(input.value)) };
}

function flag(name, about, usual) {
	const input = h("input", { type: "checkbox" });
	const element = field(name, optionName(name), input, about.about);
	element.classList.add("check");
	const write = (value) => (input.checked = value ?? usual ?? false);
	write();
	return { element, write, usual, read: () => input.checked };
}

/** A choice among words; `none` is the text for leaving it to the server. */
export function choice(name, label, words, { usual = "", none, shown = (word) => word }) {
	const select = h("select", {}, none && h("option", { value: "" }, none),
		words.map((word) => h("option", { value: word }, shown(word))));
	const write = (value) => (select.value = words.includes(value) ? value : usual);
	write();
	return { element: field(name, label, select), write, usual, read: () => select.value || undefined };
}
