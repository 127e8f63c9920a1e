// The selected picture, or how far it is, with its details and what can be done with it.

import { $, button, h, show } from "./dom.js";
import { isFinished } from "./jobs.js";
import { download, pictureBlob, pictureUrl } from "./pictures.js";
import { optionName, sizeName, stateOf, taskName } from "./words.js";

const element = $("#stage");

export class Stage {
	constructor(actions) {
		this.actions = actions;
	}

	show(job, index) {
		const shown = `${job.id}/${index}/${isFinished(job)}`;
		if (shown !== this.shown) {
			const held = element.contains(document.activeElement);
			element.hidden = false;
			element.replaceChildren(...(isFinished(job) ? this.finished(job, index) : this.working(job)));
			// The pressed button may be gone: the keyboard goes on from here.
			if (held) element.focus({ preventScroll: true });
		}
		this.shown = shown;
		if (!isFinished(job)) this.update(job);
	}

	hide() {
		this.shown = null;
		element.hidden = true;
	}

	working(job) {
		const [width, height] = job.size.split("x");
		this.images = job.seeds.map(() => fitted(h("img", { alt: "" }), width, height));
		this.state = h("p.state");
		this.bar = h("progress", { max: 1, "aria-label": "Progress" });
		return [h("div", { class: job.seeds.length > 1 ? "view many" : "view" }, this.images),
			h("div.facts", {}, this.state, this.bar,
				h("div.row", {}, button("Cancel", () => this.actions.cancel(job))), details(job))];
	}

	update(job) {
		this.state.textContent = stateOf(job);
		if (job.total_steps) this.bar.value = job.step / job.total_steps;
		for (const { index } of job.images) show(this.images[index], pictureUrl(job.id, index));
		for (const [index, source] of job.previews) {
			if (!job.images.some((made) => made.index === index)) show(this.images[index], source);
		}
	}

	finished(job, index) {
		const made = job.images.find((one) => one.index === index);
		const removing = button("Remove", () => {
			if (removing.textContent !== "Remove") this.actions.remove(job);
			removing.textContent = "Really remove?";
		}, { class: "quiet", onblur: () => (removing.textContent = "Remove") });
		const again = button("Use all", () => this.actions.useAll(job, made?.seed ?? job.seeds[0]));
		if (!made) {
			return [h("div", { class: "facts alone" }, h("p", { class: job.error ? "problem" : "state" }, stateOf(job)),
				h("div.row", {}, again, removing), details(job))];
		}
		const image = fitted(h("img", { alt: job.prompt || taskName(job.task) }), made.width, made.height);
		show(image, pictureUrl(job.id, index));
		const blob = () => pictureBlob(job.id, index);
		return [h("div.view", {}, image), h("div.facts", {},
			h("div.row", {}, button("Use as input", async () => this.actions.useAsInput(await blob())),
				button("Use seed", () => this.actions.useSeed(made.seed)), again,
				button("Download", async () => download(await blob(), `kandinsky-${made.seed}.${job.output_format}`)),
				removing),
			details(job, made))];
	}
}

function fitted(image, width, height) {
	image.style.aspectRatio = `${width} / ${height}`;
	image.style.setProperty("--ratio", width / height);
	return image;
}

function details(job, made) {
	const { scheduler, upscale, ...options } = job.settings;
	const time = new Date(job.created_at * 1000).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
	const facts = [["Prompt", job.prompt],
		["Mix", job.mix.map((one) => `${one.text ?? `picture ${one.image + 1}`} (${one.weight})`).join(", ")],
		["Kept out", job.negative_prompt], ["Seed", made?.seed ?? job.seeds.join(", ")], ["Task", taskName(job.task)],
		["Size", sizeName(made ? `${made.width}x${made.height}` : job.size)], ["Model", job.model],
		["Adapters", Object.entries(job.lora).map((one) => one.join(" ")).join(", ")], ["Enlarged", upscale && `${upscale} times`], ["Scheduler", scheduler],
		...Object.entries({ ...options, ip_scale: job.ip_scale }).map(([name, value]) => [optionName(name), value === true ? "yes" : value]), ["Made", time],
		["Took", job.timings.inference > 0 && isFinished(job) && `${job.timings.inference.toFixed(1)} s`], ["Note", job.warnings.join("; ")]];
	return h("dl", {}, facts.filter(([, value]) => value || value === 0)
		.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, `${value}`))));
}
