// The pictures as tiles, newest first; jobs that still wait or run are among them.

import { $, h, show } from "./dom.js";
import { pictureUrl } from "./pictures.js";
import { stateOf } from "./words.js";

export class Gallery {
	tiles = new Map();

	constructor(jobs, select) {
		this.jobs = jobs;
		this.select = select;
		jobs.addEventListener("change", () => this.show());
	}

	show() {
		const list = $("#gallery");
		const before = this.tiles;
		this.tiles = new Map();
		for (const job of this.jobs.list) {
			for (const { index, seed } of job.status === "completed" ? job.images : [{ index: 0 }]) {
				const name = `${job.id}/${index}`;
				const tile = before.get(name) ?? this.tile(job, index);
				this.update(tile, job, index, seed);
				if (list.children[this.tiles.size] !== tile) list.insertBefore(tile, list.children[this.tiles.size]);
				this.tiles.set(name, tile);
			}
		}
		for (const [name, tile] of before) if (!this.tiles.has(name)) tile.remove();
		$("#empty").hidden = this.tiles.size > 0;
	}

	tile(job, index) {
		return h("li", {}, h("button", { type: "button", onclick: () => this.select(job, index) },
			h("img", { alt: "", loading: "lazy", hidden: true }), h("span"), h("progress", { max: 1 })));
	}

	update(tile, job, index, seed) {
		const [image, label, bar] = tile.firstChild.children;
		const done = job.status === "completed";
		const control = tile.firstChild;
		control.className = `tile ${job.status}`;
		control.ariaLabel = `${job.prompt || job.task}, ${done ? `seed ${seed}` : stateOf(job)}`;
		control.ariaCurrent = String(`${job.id}/${index}` === this.selected);
		label.textContent = ["completed", "running"].includes(job.status) ? "" : job.status;
		bar.hidden = job.status !== "running";
		bar.value = job.step / (job.total_steps || 1);
		show(image, done ? pictureUrl(job.id, index) : job.previews.get(index));
	}

	mark(job, index) {
		this.selected = `${job.id}/${job.status === "completed" ? index : 0}`;
		this.show();
	}
}
