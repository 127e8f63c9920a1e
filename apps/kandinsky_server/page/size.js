// The size: what is compiled comes first, then shapes of the model's own area, then any other.

import { field, h } from "./dom.js";
import { sizeName } from "./words.js";

const RATIOS = [[1, 1], [4, 3], [3, 4], [3, 2], [2, 3], [16, 9], [9, 16]];

export class SizeField {
	constructor(capabilities) {
		this.capabilities = capabilities;
		this.select = h("select", { onchange: () => this.show() });
		[this.width, this.height] = ["Width", "Height"].map((name) => h("input",
			{ type: "number", min: "8", max: "8192", required: true, "aria-label": `${name} in pixels` }));
		this.own = h("span.row", {}, this.width, "×", this.height);
		this.element = field("size", "Size", this.select);
		this.select.after(this.own);
	}

	offer(model, task, picture) {
		const { warm_shapes, cold_shapes, models } = this.capabilities;
		const usual = models[model].tasks[task];
		const before = this.select.value;
		const own = `${usual.width}x${usual.height}`;
		const groups = new Map();
		const add = (group, size, note = "") => {
			const [width, height] = size.split("x");
			if (this.has(size) || width * height > models[model].max_pixels) return;
			if (!groups.has(group)) groups.set(group, this.select.appendChild(h("optgroup", { label: group })));
			groups.get(group).append(h("option", { value: size }, sizeName(size), note));
		};
		this.select.replaceChildren();
		const warm = warm_shapes.filter((shape) => shape.model === model && shape.task === task);
		warm.sort((one) => (one.size === own ? -1 : 1));
		for (const { size } of warm) add("Ready at once", size, size === own ? ", the model's own" : "");
		const like = picture && sizeLike(picture.width / picture.height, usual);
		if (cold_shapes) {
			if (like) add("As the picture", like);
			for (const [wide, high] of RATIOS) add("Prepared on first use", sizeLike(wide / high, usual), `, ${wide}:${high}`);
			this.select.append(h("option", { value: "" }, "Another size…"));
		}
		const wanted = picture && picture !== this.picture ? [like, own] : [before, own];
		this.picture = picture;
		this.select.value = wanted.find((size) => this.has(size)) ?? this.select.value;
		this.show();
	}

	has(size) {
		return size && [...this.select.options].some((one) => one.value === size);
	}

	show() {
		const size = this.select.value;
		this.own.hidden = Boolean(size);
		this.width.disabled = this.height.disabled = Boolean(size);
		if (size) [this.width.value, this.height.value] = size.split("x");
	}

	read() {
		return `${this.width.value}x${this.height.value}`;
	}

	write(size) {
		this.select.value = this.has(size) ? size : "";
		[this.width.value, this.height.value] = size.split("x");
		this.show();
	}
}

function sizeLike(ratio, usual) {
	const step = usual.width < 256 ? 8 : 64;
	const round = (side) => Math.max(1, Math.round(side / step)) * step;
	const side = Math.sqrt(usual.width * usual.height);
	return `${round(side * Math.sqrt(ratio))}x${round(side / Math.sqrt(ratio))}`;
}
