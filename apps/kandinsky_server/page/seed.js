// The seed: left open for a new one each time, or kept.

import { button, field, h } from "./dom.js";

const LARGEST = 2 ** 31;

export class SeedField {
  constructor() {
    this.last = null;
    this.input = h("input", { type: "number", inputmode: "numeric", min: "0", max: String(Number.MAX_SAFE_INTEGER),
      step: "1", placeholder: "random", oninput: () => this.show() });
    this.lock = button("Lock", () => this.write(this.locked ? null : (this.last ?? fresh())),
      { title: "Keep the seed of the last picture" });
    this.element = field("seed", "Seed", this.input);
    this.input.after(h("span", { class: "row" },
      button("Random", () => this.write(fresh()), { title: "Draw a seed and keep it" }), this.lock));
    this.show();
  }

  get locked() {
    return this.input.value !== "";
  }

  show() {
    this.lock.setAttribute("aria-pressed", String(this.locked));
    this.lock.textContent = this.locked ? "Locked" : "Lock";
    this.input.placeholder = this.last === null ? "random" : `random, last ${this.last}`;
  }

  read() {
    return this.locked ? Number(this.input.value) : undefined;
  }

  write(seed) {
    this.input.value = seed ?? "";
    this.show();
  }

  /** Note the seed that the server drew. */
  drew(seed) {
    this.last = seed;
    this.show();
  }
}

const fresh = () => Math.floor(Math.random() * LARGEST);
