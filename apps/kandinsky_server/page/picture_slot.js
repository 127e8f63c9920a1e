// A place for one picture: by file, drop, paste, or from the gallery.

import { button, h } from "./dom.js";
import { opened } from "./pictures.js";

export class PictureSlot {
  /** @param changed Called when there is another picture, or none. */
  constructor(param, label, limits, changed) {
    this.limits = limits;
    this.changed = changed;
    this.picture = null;
    this.problem = h("p", { class: "problem" });
    this.file = h("input", { type: "file", accept: "image/*", class: "unseen", tabIndex: -1, "aria-hidden": "true",
      onchange: () => {
        if (this.file.files[0]) this.take(this.file.files[0]);
        this.file.value = "";
      } });
    this.choose = button("", () => this.file.click(), { class: "choose", "aria-label": `${label}: choose a file` });
    this.remove = button("Remove", () => this.clear(), { class: "quiet" });
    this.element = h("div", { class: "field slot" },
      h("div", { class: "head" }, h("span", { class: "label" }, label), this.remove), this.file, this.choose, this.problem);
    this.element.dataset.param = param;
    this.show();
  }

  async take(file) {
    this.problem.textContent = "";
    try {
      const picture = await opened(file, this.limits);
      this.clear(false);
      this.picture = { ...picture, url: URL.createObjectURL(picture.blob) };
      this.show();
      this.changed(this.picture);
    } catch (error) {
      this.problem.textContent = error.message;
    }
  }

  clear(tell = true) {
    if (this.picture) URL.revokeObjectURL(this.picture.url);
    this.picture = null;
    this.show();
    if (tell) this.changed(null);
  }

  show() {
    this.remove.hidden = !this.picture;
    this.choose.classList.toggle("filled", Boolean(this.picture));
    this.choose.replaceChildren(...(this.picture
      ? [h("img", { src: this.picture.url, alt: "The chosen picture" })]
      : [h("b", {}, "Choose a picture"), h("span", {}, "or drop or paste one, or take one of yours by “Use as input”")]));
  }
}
