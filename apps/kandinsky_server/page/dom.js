export const $ = (selector, root = document) => root.querySelector(selector);

/** Make an element of a tag and a class. Texts become attributes, all else properties. */
export function h(name, attributes = {}, ...children) {
	const [tag, kind = ""] = name.split(".");
	const made = document.createElement(tag);
	made.className = kind;
	for (const [key, value] of Object.entries(attributes)) {
		if (typeof value === "string") made.setAttribute(key, value);
		else made[key] = value;
	}
	made.append(...children.flat().filter(Boolean));
	return made;
}

export const button = (text, onclick, more) => h("button", { type: "button", onclick, ...more }, text);

export function group(param, label, ...content) {
	const made = h("div.field", {}, h("span.label", {}, label), content, h("p.problem", { role: "alert" }));
	made.dataset.param = param;
	return made;
}

export function field(param, label, control, hint) {
	const id = (control.id = `of-${param}`);
	if (hint) control.setAttribute("aria-describedby", `${id}-hint`);
	const made = group(param, label, control, hint && h("p.hint", { id: `${id}-hint` }, hint));
	made.firstChild.replaceWith(h("label", { for: id }, label));
	return made;
}

/** Let an image show a source, which may have yet to come. */
export async function show(image, source) {
	source = await source;
	image.hidden = !source;
	if (source && image.getAttribute("src") !== source) image.src = source;
}

export const say = (text) => ($("#said").textContent = text);
