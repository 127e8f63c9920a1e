// The form: which controls a task has, what they hold, and what is wrong with them.

import { Refusal } from "./api.js";
import { $, field, h } from "./dom.js";
import { MaskBrush } from "./mask_brush.js";
import { Mix } from "./mix.js";
import { choice, option } from "./options.js";
import { PictureSlot } from "./picture_slot.js";
import { dataUrl } from "./pictures.js";
import { SeedField } from "./seed.js";
import { SizeField } from "./size.js";
import { TASKS, taskName } from "./words.js";

const PREVIEWS = 8;
const STARTS_FROM = { img2img: ["image"], inpaint: ["image", "mask"], interpolate: ["mix"], controlnet: ["hint"],
	controlnet_img2img: ["image", "hint"], controlnet_inpaint: ["image", "mask", "hint"], upscale: ["image"] };
const IN_SIGHT = ["strength", "controlnet_conditioning_scale"]; // others: "Advanced"
const ADAPTER = { kind: "number", low: -10, high: 10, about: "0 leaves it out, 1 is as it was trained." };

export class Form {
	options = {};

	constructor(capabilities) {
		const { limits, fields, models } = capabilities;
		this.capabilities = capabilities;
		this.element = $("#form");
		this.mask = new MaskBrush();
		this.mix = new Mix(fields.mix.high);
		this.beside = new Mix(fields.ip_weights.high, false);
		this.size = new SizeField(capabilities);
		this.seed = new SeedField();
		this.image = new PictureSlot("image", "Picture", (picture) => {
			this.mask.over(picture);
			this.showSources();
		});
		this.hint = new PictureSlot("hint", "Hint", () => this.showSources());
		this.count = h("input", { type: "number", min: "1", max: limits.n, value: "1", required: true });
		this.countField = field("n", "How many", this.count);
		this.model = $("#model");
		this.model.append(...Object.keys(models).map((model) => h("option", { value: model }, model)));
		this.model.value = capabilities.default_model;
		this.model.onchange = () => this.setModel();
		this.model.parentNode.hidden = this.model.length < 2;
		$("#prompt").maxLength = $("#negative").maxLength = fields.prompt.high;
		this.setModel();
		this.element.hidden = false;
	}

	get facts() {
		return this.capabilities.models[this.model.value];
	}

	setModel() {
		const tasks = Object.keys(this.facts.tasks);
		$("#tasks").replaceChildren(...tasks.map((task) => h("label", {},
			h("input", { type: "radio", name: "task", value: task, onchange: () => this.setTask(task) }),
			h("span", {}, taskName(task)))));
		this.setTask(tasks.includes(this.task) ? this.task : tasks[0]);
	}

	setTask(task) {
		this.task = task;
		this.sources = STARTS_FROM[task] ?? [];
		this.clearProblems();
		$(`#tasks [value="${task}"]`).checked = true;
		$("#about").textContent = TASKS[task]?.[1] ?? "";
		$("#prompt").disabled = $("#prompt").parentNode.hidden = ["interpolate", "upscale"].includes(task);
		$("#negative").parentNode.hidden = task === "upscale";
		this.showOptions();
		this.showSources();
	}

	showOptions() {
		const { fields } = this.capabilities;
		const before = this.options;
		const enlarging = this.task === "upscale";
		const made = (this.options = {});
		for (const [name, usual] of Object.entries(this.facts.tasks[this.task])) {
			if (!["width", "height"].includes(name)) made[name] = option(name, fields[name], usual);
		}
		if (!enlarging) for (const name of this.facts.loras) made[`lora.${name}`] = option(`lora.${name}`, ADAPTER, 0);
		this.pictured = this.facts.ip_tasks.includes(this.task);
		if (this.pictured) made.ip_scale = option("ip_scale", fields.ip_scale, this.facts.ip_scale);
		made.upscale = choice("upscale", "Enlarge", enlarging ? ["4"] : this.facts.upscales,
			{ usual: enlarging ? "4" : "", none: enlarging ? null : "no", shown: (times) => `${times} times` });
		if (!enlarging) made.scheduler = choice("scheduler", "Scheduler", this.facts.schedulers, { none: "default" });
		made.output_format = choice("output_format", "File", fields.output_format.choices, { usual: "png" });
		// Equal defaults keep choices.
		for (const name in made) if (made[name].usual === before[name]?.usual) made[name].write(before[name].read());
		$("#options").replaceChildren();
		$("#advanced").replaceChildren();
		for (const name in made) {
			const inSight = IN_SIGHT.includes(name) || name.startsWith("lora.");
			$(inSight ? "#options" : "#advanced").append(made[name].element);
		}
		if (this.pictured) $("#advanced").append(this.beside.element, made.ip_scale.element);
		$("#shape").replaceChildren(this.size.element, this.seed.element, this.countField, made.upscale.element);
		this.size.element.hidden = this.countField.hidden = this.count.disabled = enlarging;
	}

	showSources() {
		const painting = this.sources.includes("mask") && this.image.picture;
		$("#sources").replaceChildren(...this.sources.map((name) => this[name].element));
		this.mask.element.hidden = !painting;
		this.image.choose.hidden = Boolean(painting);
		if (this.task === "upscale") return;
		const [first] = this.sources;
		this.size.offer(this.model.value, this.task, this[first]?.picture);
	}

	/** Put a picture where the task wants one, or choose a task that does. */
	async takePicture(file) {
		if (!this.sources.length) this.setTask(Object.keys(STARTS_FROM).find((task) => task in this.facts.tasks));
		const [first] = this.sources;
		if (first === "mix") this.mix.addPicture(file);
		else await this[first].take(file);
	}

	async read() {
		this.clearProblems();
		for (const input of this.element.elements) {
			if (input.checkValidity()) continue;
			throw new Refusal(input.id === "prompt" ? "Write what the picture should show." : input.validationMessage,
				input.closest("[data-param]").dataset.param);
		}
		const body = { task: this.task, model: this.model.value, partial_images: PREVIEWS, seed: this.seed.read() };
		for (const [name, { read }] of Object.entries(this.options)) {
			const adapter = name.split("lora.")[1];
			if (!adapter) body[name] = read();
			else if (read()) body.lora = { ...body.lora, [adapter]: read() };
		}
		if (this.pictured && this.beside.rows.length) Object.assign(body, await this.beside.read());
		else delete body.ip_scale;
		if (!$("#prompt").disabled) body.prompt = $("#prompt").value;
		if (this.task !== "upscale") {
			body.negative_prompt = $("#negative").value || undefined;
			body.size = this.size.read();
			body.n = Number(this.count.value);
		}
		for (const name of this.sources) {
			if (name === "mix") Object.assign(body, await this.mix.read());
			else if (name === "mask") body.mask = this.mask.acts.length && this.mask.read();
			else body[name] = this[name].picture && (await dataUrl(this[name].picture.blob));
			if (body[name]?.length > 0) continue;
			throw new Refusal({ mix: "Write a text or add a picture to mix.",
				mask: "Paint over what should be made anew." }[name] ?? "Choose a picture first.", name);
		}
		return body;
	}

	async write({ task, model, prompt, negative_prompt, seed, size, options, mix, shares = [], pictures }) {
		const notes = [];
		if (Object.hasOwn(this.capabilities.models, model)) {
			this.model.value = model;
			this.setModel();
		} else if (model) notes.push(`The model ${model} is not served here.`);
		if (Object.hasOwn(this.facts.tasks, task)) this.setTask(task);
		else notes.push(`${taskName(task)}: this model does not do that.`);
		$("#prompt").value = prompt;
		$("#negative").value = negative_prompt ?? "";
		this.count.value = 1;
		this.seed.write(seed);
		for (const [name, { write }] of Object.entries(this.options)) write(options[name]);
		this.beside.write((pictures.ip_images ?? []).map((_, image) => ({ image, weight: shares[image] })), pictures.ip_images);
		for (const name of this.sources) {
			const [blob] = pictures[name] ?? [];
			if (name === "mix") this.mix.write(mix, pictures.image);
			else if (blob && name === "mask") this.mask.over(this.image.picture, await createImageBitmap(blob));
			else if (blob) await this[name].take(blob);
			else if (name !== "mask") notes.push("Choose the picture that it started from.");
		}
		if (size && this.task !== "upscale") this.size.write(size);
		return notes;
	}

	showProblem({ message, param }) {
		const name = { width: "size", height: "size" }[param] ?? param?.split(".")[0];
		const place = this.element.querySelector(`[data-param="${CSS.escape(name ?? "")}"]:not([hidden])`);
		if (!place) {
			$("#problem").textContent = message;
			return;
		}
		if ($("#more").contains(place)) $("#more").open = true;
		$(".problem", place).textContent = message;
		const control = $("input:not([hidden]), textarea, select, button:not([hidden]), canvas", place);
		control.ariaInvalid = "true";
		control.focus();
	}

	clearProblems() {
		for (const problem of this.element.querySelectorAll(".problem")) problem.textContent = "";
		for (const control of this.element.querySelectorAll("[aria-invalid]")) control.ariaInvalid = null;
	}
}
