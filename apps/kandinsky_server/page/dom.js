// Small helpers for elements.

export const $ = (selector, root = document) => root.querySelector(selector);

/** Make an element. Texts become attributes, all else properties. */
export function h(tag, attributes = {}, ...children) {
	const made = document.createElement(tag);
	for (const [name, value] of Object.entries(attributes)) {
		if (typeof value === "string") made.setAttribute(name, value);
		else made[name] = value;
	}
	made.append(...children.flat().filter(Boolean));
	return made;
}

export const button = (text, onclick, more) => h("button", { type: "button", onclick, ...more }, text);

/** Controls under one name, with room for what is wrong with them. */
export function group(param, label, ...content) {
	const made = h("div", { class: "field" }, h("span", { class: "label" }, label), content, h("p", { class: "problem", role: "alert" }));
	made.dataset.param = param;
	return made;
}

/** One control with its label. */
export function field(param, label, control, hint) {
	const id = (control.id = `of-${param}`);
	if (hint) control.setAttribute("aria-describedby", `${id}-hint`);
	const made = group(param, label, control, hint && h("p", { class: "hint", id: `${id}-hint` }, hint));
	made.firstChild.replaceWith(h("label", { for: id }, label));
	return made;
}

/** Tell users of screen readers. */
export const say = (text) => ($("#said").textContent = text);
