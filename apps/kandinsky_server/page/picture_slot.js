// A place for one picture: by file, drop, paste, or from the gallery.

import { Refusal } from "./api.js";
import { $, button, group, h } from "./dom.js";

export class PictureSlot {
	constructor(param, label, changed) {
		this.param = param;
		this.choose = button("", () => this.file.click(), { class: "choose", "aria-label": `${label}: choose a file` });
		this.file = h("input", { type: "file", accept: "image/*", hidden: true,
			onchange: () => this.take(this.file.files[0]) });
		this.remove = button("Remove", () => this.put(null), { class: "quiet" });
		this.element = group(param, label, this.file, this.choose);
		this.element.firstChild.append(this.remove);
		this.put(null);
		this.changed = changed;
	}

	async take(file) {
		const image = new Image();
		image.src = URL.createObjectURL(file);
		await image.decode().catch(() => {
			throw new Refusal(`${file.name} is no picture that this browser can read.`, this.param);
		});
		this.put({ blob: file, url: image.src, width: image.naturalWidth, height: image.naturalHeight });
	}

	put(picture) {
		if (this.picture) URL.revokeObjectURL(this.picture.url);
		this.picture = picture;
		this.file.value = "";
		this.remove.hidden = !picture;
		$(".problem", this.element).textContent = "";
		this.choose.replaceChildren(...(picture ? [h("img", { src: picture.url, alt: "The chosen picture" })]
			: [h("b", {}, "Choose a picture"), h("span", {}, "or drop or paste one, or use one of yours")]));
		this.changed?.(picture);
	}
}
