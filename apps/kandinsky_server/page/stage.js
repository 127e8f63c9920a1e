// The selected picture, or how far it is, with its details and what can be done with it.

import { $, button, h } from "./dom.js";
import { isFinished } from "./jobs.js";
import { download, pictureBlob, pictureUrl } from "./pictures.js";
import { optionName, sizeName, stateOf, taskName } from "./words.js";

export class Stage {
  /** @param actions What the buttons do: useSeed, useAll, useAsInput, cancel, remove. */
  constructor(actions) {
    this.actions = actions;
    this.element = $("#stage");
  }

  show(job, index) {
    const kind = `${job.id}/${index}/${isFinished(job)}/${job.images.length}`;
    if (kind !== this.kind) this.build(job, index);
    this.kind = kind;
    if (!isFinished(job)) this.update(job);
  }

  hide() {
    this.kind = null;
    this.element.hidden = true;
  }

  build(job, index) {
    const held = this.element.contains(document.activeElement);
    this.element.hidden = false;
    this.element.replaceChildren(...(isFinished(job) ? this.finished(job, index) : this.working(job)));
    // The button that was pressed may be gone; the keyboard goes on from here.
    if (held) this.element.focus({ preventScroll: true });
  }

  working(job) {
    const [width, height] = job.size.split("x");
    this.images = job.seeds.map((seed, index) => {
      const image = h("img", { alt: `Preview of picture ${index + 1}`, hidden: true });
      const done = job.images.find((one) => one.index === index);
      if (done) show(image, pictureUrl(job.id, index));
      const place = h("div", { class: "forming" }, image);
      place.style.aspectRatio = `${width} / ${height}`;
      return { image, place };
    });
    this.state = h("p", { class: "state" });
    this.bar = h("progress", { max: 1, "aria-label": "Progress" });
    return [h("div", { class: "view" }, this.images.map(({ place }) => place)),
      h("div", { class: "facts" }, this.state, this.bar,
        h("div", { class: "row" }, button("Cancel", () => this.actions.cancel(job))), details(job))];
  }

  update(job) {
    this.state.textContent = `${stateOf(job)}.`.replace("..", ".");
    if (job.total_steps) this.bar.value = job.step / job.total_steps;
    else this.bar.removeAttribute("value");
    for (const [index, source] of job.previews) {
      const image = this.images[index]?.image;
      if (image && !job.images.some((one) => one.index === index)) show(image, source);
    }
  }

  finished(job, index) {
    const made = job.images.find((one) => one.index === index);
    const removing = button("Remove", () => {
      if (removing.textContent === "Remove") {
        removing.textContent = "Really remove?";
        setTimeout(() => (removing.textContent = "Remove"), 4000);
      } else this.actions.remove(job);
    }, { class: "quiet" });
    const again = button("Use all settings", () => this.actions.useAll(job, made?.seed ?? job.seeds[0]));
    if (!made) {
      return [h("div", { class: "facts alone" }, h("p", { class: job.status === "failed" ? "problem" : "state" },
        `${stateOf(job)}.`), h("div", { class: "row" }, again, removing), details(job))];
    }
    const image = h("img", { alt: job.prompt || taskName(job.task), width: made.width, height: made.height });
    show(image, pictureUrl(job.id, index));
    const name = `kandinsky-${made.seed}.${job.output_format}`;
    const blob = () => pictureBlob(job.id, index);
    return [h("div", { class: "view" }, image),
      h("div", { class: "facts" },
        h("div", { class: "row" }, button("Use as input", async () => this.actions.useAsInput(await blob())),
          button("Use seed", () => this.actions.useSeed(made.seed)), again,
          button("Download", async () => download(await blob(), name), { title: "With all that makes it again" }),
          removing),
        details(job, made))];
  }
}

async function show(image, source) {
  source = await source;
  if (image.getAttribute("src") !== source) image.src = source;
  image.hidden = false;
}

/** All that made a picture, as a list of terms. */
function details(job, made = null) {
  const { scheduler, upscale, ...options } = job.settings;
  const mixed = job.mix.map((one) => `${one.text ?? `picture ${one.image + 1}`} (${one.weight})`).join(", ");
  const facts = [["Prompt", job.prompt], ["Mix", mixed], ["Kept out", job.negative_prompt],
    ["Seed", made ? made.seed : job.seeds.join(", ")], ["Task", taskName(job.task)],
    ["Size", sizeName(made ? `${made.width}x${made.height}` : job.size)], ["Model", job.model],
    ["Enlarged", upscale && `${upscale} times`], ["Scheduler", scheduler],
    ...Object.entries(options).map(([name, value]) => [optionName(name), value === true ? "yes" : value]),
    ["Made", new Date(job.created_at * 1000).toLocaleString()],
    ["Took", isFinished(job) && job.timings.inference > 0 && `${job.timings.inference.toFixed(1)} s`],
    ["Note", job.warnings.join("; ")]];
  return h("dl", {}, facts.filter(([, value]) => value !== "" && value !== null && value !== undefined && value !== false)
    .map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, String(value)))));
}
