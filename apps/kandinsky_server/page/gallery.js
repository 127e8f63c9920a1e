// The pictures as tiles, newest first; jobs that still wait or run are among them.

import { $, h } from "./dom.js";
import { pictureUrl } from "./pictures.js";
import { stateOf } from "./words.js";

export class Gallery {
  /** @param select Called with a job and the number of its picture. */
  constructor(jobs, select) {
    this.jobs = jobs;
    this.select = select;
    this.list = $("#gallery");
    this.tiles = new Map();
    this.list.addEventListener("keydown", (event) => this.walk(event));
    $("#older").onclick = () => jobs.older();
    jobs.addEventListener("change", () => this.show());
  }

  show() {
    const wanted = this.jobs.list.flatMap((job) => (job.status === "completed" ? job.images : [{ index: 0 }])
      .map(({ index, seed }) => ({ name: `${job.id}/${index}`, job, index, seed })));
    const names = new Set(wanted.map(({ name }) => name));
    for (const [name, tile] of this.tiles) {
      if (!names.has(name)) {
        tile.element.remove();
        this.tiles.delete(name);
      }
    }
    wanted.forEach((one, at) => {
      if (!this.tiles.has(one.name)) this.tiles.set(one.name, this.tile(one));
      const tile = this.tiles.get(one.name);
      this.update(tile, one);
      if (this.list.children[at] !== tile.element) this.list.insertBefore(tile.element, this.list.children[at]);
    });
    $("#empty").hidden = wanted.length > 0;
    $("#older").hidden = !this.jobs.more;
  }

  tile({ job, index }) {
    const image = h("img", { alt: "", loading: "lazy", draggable: false });
    const label = h("span", {});
    const bar = h("progress", { max: 1, value: 0 });
    const control = h("button", { type: "button", onclick: () => this.select(job, index) }, image, label, bar);
    return { element: h("li", {}, control), control, image, label, bar };
  }

  async update(tile, { name, job, index, seed }) {
    const { control, image, label, bar } = tile;
    const done = job.status === "completed";
    control.className = `tile ${job.status}`;
    control.setAttribute("aria-current", String(name === this.selected));
    label.textContent = done ? "" : { running: "", queued: "Waiting", compiling: "Preparing" }[job.status] ?? job.status;
    bar.hidden = job.status !== "running";
    bar.value = job.total_steps ? job.step / job.total_steps : 0;
    control.setAttribute("aria-label", `${job.prompt || job.task}, ${done ? `seed ${seed}` : stateOf(job)}`);
    const source = done ? await pictureUrl(job.id, index).catch(() => "") : (job.previews.get(index) ?? "");
    image.hidden = !source;
    if (source && image.getAttribute("src") !== source) image.src = source;
  }

  mark(job, index) {
    this.selected = `${job.id}/${job.status === "completed" ? index : 0}`;
    for (const [name, { control }] of this.tiles) control.setAttribute("aria-current", String(name === this.selected));
  }

  /** The arrow keys go from tile to tile. */
  walk(event) {
    const all = [...this.list.querySelectorAll(".tile")];
    const at = all.indexOf(document.activeElement);
    const across = all.filter((tile) => tile.offsetTop === all[0].offsetTop).length;
    const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -across, ArrowDown: across }[event.key];
    if (at < 0 || !by || !all[at + by]) return;
    event.preventDefault();
    all[at + by].focus();
  }
}

