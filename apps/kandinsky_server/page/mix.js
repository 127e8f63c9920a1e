// What is mixed, each with its weight: texts and pictures, or pictures beside the prompt.

import { button, group, h } from "./dom.js";
import { dataUrl } from "./pictures.js";

export class Mix {
	rows = [];

	constructor(most, texts = true) {
		this.most = most;
		this.texts = texts;
		this.list = h("ul.mix");
		this.file = h("input", { type: "file", accept: "image/*", multiple: true, hidden: true,
			onchange: () => [...this.file.files].forEach((file) => this.addPicture(file)) });
		this.adding = h("div.row", {},
			texts && button("Add a text", () => this.addText().focus()), button("Add pictures", () => this.file.click()));
		this.element = group(texts ? "mix" : "ip_images", texts ? "Ingredients" : "Beside the prompt", this.list, this.file,
			this.adding);
		if (texts) [0, 0].forEach(() => this.addText());
	}

	addText(text = "", weight) {
		const input = h("textarea", { rows: 1, "aria-label": "Text", placeholder: "Words, such as: a blue cat" });
		input.value = text;
		this.add({ content: input, text: () => input.value.trim() }, weight);
		return input;
	}

	addPicture(blob, weight) {
		// Rows of texts that nobody filled in make room.
		const empty = this.rows.find((row) => row.text && !row.text());
		if (empty) this.drop(empty);
		this.add({ content: h("img", { src: URL.createObjectURL(blob), alt: "A picture to mix in" }), blob }, weight);
	}

	add(row, weight = 0.5) {
		if (this.rows.length >= this.most) return;
		const shown = h("output", {}, `${weight}`);
		row.weight = h("input", { type: "range", min: Math.min(0, weight), max: Math.max(1, weight), step: "0.01",
			"aria-label": "Weight", oninput: () => (shown.textContent = row.weight.value) });
		row.weight.value = weight;
		row.element = h("li", {}, row.content, h("div.weight", {}, row.weight, shown),
			button("×", () => this.drop(row), { class: "quiet", "aria-label": "Remove" }));
		this.rows.push(row);
		this.list.append(row.element);
		this.adding.hidden = this.rows.length >= this.most;
	}

	drop(row) {
		this.rows = this.rows.filter((one) => one !== row);
		row.element.remove();
		this.adding.hidden = false;
	}

	async read() {
		const mix = [];
		const image = [];
		for (const row of this.rows) {
			const weight = Number(row.weight.value);
			if (row.blob) mix.push({ image: image.push(await dataUrl(row.blob)) - 1, weight });
			else if (row.text()) mix.push({ text: row.text(), weight });
		}
		if (this.texts) return image.length ? { mix, image } : { mix };
		const weights = mix.map(({ weight }) => weight);
		// Where nobody moved a weight, the server gives equal shares.
		return { ip_images: image, ip_weights: weights.some((one) => one !== 0.5) ? weights : undefined };
	}

	write(mix, pictures = []) {
		this.rows.forEach((row) => this.drop(row));
		for (const { text, image, weight } of mix) {
			if (text !== undefined) this.addText(text, weight);
			else if (pictures[image]) this.addPicture(pictures[image], weight);
		}
	}
}
