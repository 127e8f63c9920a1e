// What the prior mixes: texts and pictures, each with its weight.

import { button, h } from "./dom.js";
import { dataUrl, opened } from "./pictures.js";

export class Mix {
  constructor(field, limits) {
    this.most = field.high;
    this.limits = limits;
    this.rows = [];
    this.list = h("ul", { class: "mix" });
    this.problem = h("p", { class: "problem" });
    this.file = h("input", { type: "file", accept: "image/*", multiple: true, class: "unseen", tabIndex: -1,
      "aria-hidden": "true", onchange: async () => {
        for (const file of [...this.file.files]) await this.addPicture(file);
        this.file.value = "";
      } });
    this.adding = h("div", { class: "row" },
      button("Add a text", () => this.addText("").focus()), button("Add pictures", () => this.file.click()));
    this.element = h("div", { class: "field" }, h("span", { class: "label" }, "Ingredients"), this.list, this.file,
      this.adding, this.problem);
    this.element.dataset.param = "mix";
    this.addText("");
    this.addText("");
  }

  addText(text, weight) {
    const input = h("textarea", { rows: 1, "aria-label": "Text", placeholder: "Words, such as: a blue cat" });
    input.value = text;
    this.add({ content: input, text: () => input.value.trim() }, weight);
    return input;
  }

  async addPicture(file, weight) {
    this.problem.textContent = "";
    try {
      const { blob } = await opened(file, this.limits);
      // Rows of texts that nobody filled in make room.
      const empty = this.rows.find((row) => row.text && !row.text());
      if (empty) this.drop(empty);
      this.add({ content: h("img", { src: URL.createObjectURL(blob), alt: "A picture to mix in" }), blob }, weight);
    } catch (error) {
      this.problem.textContent = error.message;
    }
  }

  add(row, weight = 0.5) {
    if (this.rows.length >= this.most) {
      this.problem.textContent = `At most ${this.most} ingredients can be mixed.`;
      return;
    }
    row.weight = h("input", { type: "range", min: String(Math.min(0, weight)), max: String(Math.max(1, weight)), step: "0.01",
      "aria-label": "Weight", oninput: () => this.show() });
    row.weight.value = String(weight);
    row.share = h("output", {});
    row.element = h("li", {}, row.content, h("div", { class: "weight" }, row.weight, row.share),
      button("×", () => this.drop(row), { class: "quiet", "aria-label": "Remove this ingredient" }));
    this.rows.push(row);
    this.list.append(row.element);
    this.show();
  }

  drop(row) {
    if (row.blob) URL.revokeObjectURL(row.content.src);
    this.rows = this.rows.filter((one) => one !== row);
    row.element.remove();
    this.show();
  }

  clear() {
    [...this.rows].forEach((row) => this.drop(row));
  }

  show() {
    for (const row of this.rows) row.share.textContent = Number(row.weight.value).toFixed(2);
    this.adding.hidden = this.rows.length >= this.most;
  }

  /** The fields of a request. */
  async read() {
    const mix = [];
    const image = [];
    for (const row of this.rows) {
      const weight = Number(row.weight.value);
      if (row.blob) {
        mix.push({ image: image.length, weight });
        image.push(await dataUrl(row.blob));
      } else if (row.text()) mix.push({ text: row.text(), weight });
    }
    return image.length ? { mix, image } : { mix };
  }
}
