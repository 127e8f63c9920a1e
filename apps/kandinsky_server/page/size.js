// The size: those that are compiled first, then shapes of the model's own area, then any.

import { field, h } from "./dom.js";
import { sizeName } from "./words.js";

const RATIOS = [[1, 1], [4, 3], [3, 4], [3, 2], [2, 3], [16, 9], [9, 16]];

export class SizeField {
  constructor(capabilities) {
    this.capabilities = capabilities;
    this.select = h("select", { onchange: () => this.show() });
    this.frame = h("i", { class: "frame" });
    const side = (name) => h("input", { type: "number", inputmode: "numeric", min: "8", max: "8192", step: "1",
      required: true, "aria-label": name });
    this.width = side("Width in pixels");
    this.height = side("Height in pixels");
    this.own = h("span", { class: "own" }, this.width, "×", this.height);
    this.element = field("size", "Size", this.select);
    this.select.after(this.own);
    this.select.before(this.frame);
    this.element.classList.add("size");
  }

  /** Offer the sizes of a task; a picture that it starts from adds its own shape. */
  offer(model, task, picture = null) {
    const facts = this.capabilities.models[model];
    const usual = facts.tasks[task];
    const before = this.select.value;
    const warm = this.capabilities.warm_shapes
      .filter((shape) => shape.model === model && shape.task === task).map((shape) => shape.size);
    const own = `${usual.width}x${usual.height}`;
    const ready = [...new Set([...warm.filter((size) => size === own), ...warm])];
    const others = [];
    const like = picture && sizeLike(picture.width / picture.height, usual);
    if (this.capabilities.cold_shapes) {
      for (const [wide, high] of RATIOS) {
        const size = sizeLike(wide / high, usual);
        if (!ready.includes(size) && !others.some((one) => one.size === size) && fits(size, facts)) {
          others.push({ size, note: `${wide}:${high}` });
        }
      }
    }
    const option = (size, note) => h("option", { value: size }, sizeName(size), note ? `  (${note})` : "");
    this.select.replaceChildren(...[
      ready.length && h("optgroup", { label: "Ready at once" },
        ready.map((size) => option(size, size === own ? "the model's own" : ""))),
      like && !ready.includes(like) && this.capabilities.cold_shapes &&
        h("optgroup", { label: "As the picture" }, option(like)),
      others.length && h("optgroup", { label: ready.length ? "Prepared on first use" : "Shapes" },
        others.filter((one) => one.size !== like).map((one) => option(one.size, one.note))),
      this.capabilities.cold_shapes && h("option", { value: "own" }, "Another size…"),
    ].filter(Boolean));
    const has = (size) => [...this.select.options].some((one) => one.value === size);
    const wanted = picture && picture !== this.picture ? [like, own] : [before, like, own];
    this.picture = picture;
    this.select.value = wanted.find((size) => size && has(size)) ?? this.select.options[0]?.value ?? "";
    this.show();
  }

  show() {
    const own = this.select.value === "own";
    this.own.hidden = !own;
    this.width.disabled = this.height.disabled = !own;
    if (!own) [this.width.value, this.height.value] = this.select.value.split("x");
    // A small frame of the size's shape stands before it.
    const longest = Math.max(this.width.value, this.height.value, 1);
    this.frame.style.width = `${(18 * this.width.value) / longest}px`;
    this.frame.style.height = `${(18 * this.height.value) / longest}px`;
  }

  read() {
    return `${this.width.value}x${this.height.value}`;
  }

  write(size) {
    const known = [...this.select.options].some((one) => one.value === size);
    this.select.value = known ? size : "own";
    if (!known) [this.width.value, this.height.value] = size.split("x");
    this.show();
  }
}

/** A size of about the model's own area, in steps that suit its networks. */
function sizeLike(ratio, usual) {
  const step = Math.max(usual.width, usual.height) >= 256 ? 64 : 8;
  const round = (side) => Math.max(step, Math.round(side / step) * step);
  const side = Math.sqrt(usual.width * usual.height);
  return `${round(side * Math.sqrt(ratio))}x${round(side / Math.sqrt(ratio))}`;
}

function fits(size, facts) {
  const [width, height] = size.split("x");
  return !facts.max_pixels || width * height <= facts.max_pixels;
}
