// The seed: a new one each time, or one that is kept.

import { button, field, h } from "./dom.js";

const fresh = () => Math.floor(Math.random() * 2 ** 31);

export class SeedField {
	last = null;

	constructor() {
		this.input = h("input", { type: "number", min: "0", placeholder: "random", max: Number.MAX_SAFE_INTEGER,
			oninput: () => this.show() });
		this.lock = button("", () => this.write(this.read() === undefined ? (this.last ?? fresh()) : null));
		this.element = field("seed", "Seed", this.input);
		const row = h("span.row");
		this.input.replaceWith(row);
		row.append(this.input, button("Random", () => this.write(fresh())), this.lock);
		this.show();
	}

	show() {
		const locked = this.input.value !== "";
		this.lock.ariaPressed = String(locked);
		this.lock.textContent = locked ? "Locked" : "Lock";
	}

	read() {
		return this.input.value === "" ? undefined : Number(this.input.value);
	}

	write(seed) {
		this.input.value = seed ?? "";
		this.show();
	}

	drew(seed) {
		this.last = seed;
	}
}
