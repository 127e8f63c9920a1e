// The form: which controls a task has, what they hold, and what is wrong with them.

import { Refusal } from "./api.js";
import { $, field, h } from "./dom.js";
import { MaskBrush, maskLayer } from "./mask_brush.js";
import { Mix } from "./mix.js";
import { choice, option } from "./options.js";
import { PictureSlot } from "./picture_slot.js";
import { dataUrl } from "./pictures.js";
import { SeedField } from "./seed.js";
import { SizeField } from "./size.js";
import { TASKS, taskName } from "./words.js";

const PREVIEWS = 8;
const DRAFT = "kandinsky.draft";
const STARTS_FROM = { img2img: ["image"], inpaint: ["image", "mask"], interpolate: ["mix"], controlnet: ["hint"],
  upscale: ["image"] };
const IN_SIGHT = ["strength", "controlnet_conditioning_scale"]; // the other options are "Advanced"

export class Form {
  constructor(capabilities) {
    const { limits, fields } = capabilities;
    this.capabilities = capabilities;
    this.element = $("#form");
    this.options = {};
    this.image = new PictureSlot("image", "Picture", limits, (picture) => this.pictureChanged(picture));
    this.hint = new PictureSlot("hint", "Hint", limits, () => this.offerSizes());
    this.brush = new MaskBrush();
    this.mix = new Mix(fields.mix, limits);
    this.size = new SizeField(capabilities);
    this.seed = new SeedField();
    this.count = h("input", { type: "number", inputmode: "numeric", min: "1", max: String(limits.n), step: "1",
      value: "1", required: true });
    this.countField = field("n", "How many", this.count);
    $("#chance").append(this.seed.element, this.countField);
    $("#prompt").maxLength = $("#negative").maxLength = fields.prompt.high;
    const models = Object.keys(capabilities.models);
    $("#model").append(...models.map((model) => h("option", { value: model }, model)));
    $("#model").value = capabilities.default_model;
    $('[data-param="model"]').hidden = models.length < 2;
    $("#model").onchange = () => this.setModel();
    this.setModel();
    this.restoreDraft();
    this.element.addEventListener("input", () => this.keepDraft());
    this.element.addEventListener("change", () => this.keepDraft());
    this.element.hidden = false;
  }

  get model() {
    return $("#model").value;
  }

  get tasks() {
    return Object.keys(this.capabilities.models[this.model].tasks);
  }

  setModel() {
    $("#tasks").replaceChildren(...this.tasks.map((task) => h("label", {},
      h("input", { type: "radio", name: "task", value: task, onchange: () => this.setTask(task) }),
      h("span", {}, taskName(task)))));
    this.setTask(this.tasks.includes(this.task) ? this.task : this.tasks[0]);
  }

  /** Show what a task takes, and nothing else. */
  setTask(task) {
    this.task = task;
    this.clearProblems();
    $(`#tasks [value="${task}"]`).checked = true;
    $("#about").textContent = TASKS[task]?.[1] ?? "";
    const words = !["interpolate", "upscale"].includes(task);
    $("#prompt-field").hidden = !words;
    $("#prompt").disabled = !words;
    $("#negative-field").hidden = task === "upscale";
    this.count.disabled = this.countField.hidden = task === "upscale";
    this.showOptions();
    this.showSources();
    this.offerSizes();
  }

  showOptions() {
    const { fields, models } = this.capabilities;
    const facts = models[this.model];
    const before = this.options;
    this.options = {};
    for (const [name, usual] of Object.entries(facts.tasks[this.task])) {
      if (!fields[name] || ["width", "height"].includes(name)) continue;
      this.options[name] = { ...option(name, fields[name], usual), usual };
    }
    const enlarging = this.task === "upscale";
    this.options.upscale = choice("upscale", "Enlarge", fields.upscale.choices, enlarging ? "4" : null,
      enlarging ? null : "no", (times) => `${times} times`);
    if (!enlarging) {
      this.options.scheduler = choice("scheduler", "Scheduler", facts.schedulers, null, "the model's own");
    }
    this.options.output_format = choice("output_format", "File", fields.output_format.choices, "png", null,
      (word) => word.toUpperCase());
    // What somebody changed stays as it is when another task takes it too.
    for (const [name, { read, usual }] of Object.entries(before)) {
      if (read() !== (usual ?? undefined)) this.options[name]?.write(read());
    }
    const parts = Object.entries(this.options);
    const pick = (wanted) => parts.filter(([name]) => wanted(name)).map(([, { element }]) => element);
    $("#options").replaceChildren(...pick((name) => IN_SIGHT.includes(name)));
    $("#shape").replaceChildren(...(enlarging ? [] : [this.size.element]), this.options.upscale.element);
    $("#advanced").replaceChildren(...pick((name) => !IN_SIGHT.includes(name) && name !== "upscale"));
  }

  get sources() {
    return STARTS_FROM[this.task] ?? [];
  }

  showSources() {
    const parts = { image: this.image, mask: this.brush, mix: this.mix, hint: this.hint };
    $("#sources").replaceChildren(...this.sources.map((name) => parts[name].element));
    this.showMask();
  }

  showMask() {
    const painting = this.task === "inpaint" && Boolean(this.image.picture);
    this.brush.element.hidden = !painting;
    this.image.element.classList.toggle("shown-below", painting);
  }

  pictureChanged(picture) {
    this.brush.over(picture);
    this.showMask();
    this.offerSizes();
  }

  offerSizes() {
    if (this.task === "upscale") return;
    const picture = this.sources.includes("image") ? this.image.picture
      : this.sources.includes("hint") ? this.hint.picture : null;
    this.size.offer(this.model, this.task, picture);
  }

  /** Put a picture where the task wants one; a task without pictures gives way to one that has. */
  async takePicture(file) {
    if (!this.sources.length) {
      const task = Object.keys(STARTS_FROM).find((one) => this.tasks.includes(one));
      if (!task) return;
      this.setTask(task);
    }
    if (this.task === "interpolate") await this.mix.addPicture(file);
    else await (this.task === "controlnet" ? this.hint : this.image).take(file);
  }

  /** Return the body of a request; what is missing is an error with its field. */
  async read() {
    this.clearProblems();
    const missing = (param, message) => new Refusal(400, { message, param });
    for (const input of this.element.elements) {
      if (!input.checkValidity()) {
        const param = input.closest("[data-param]")?.dataset.param;
        throw missing(param, param === "prompt" ? "Write what the picture should show." : input.validationMessage);
      }
    }
    const body = { task: this.task, model: this.model, partial_images: PREVIEWS };
    for (const [name, { read }] of Object.entries(this.options)) body[name] = read();
    if (!$("#prompt").disabled) body.prompt = $("#prompt").value;
    if (this.task !== "upscale") {
      body.negative_prompt = $("#negative").value || undefined;
      body.size = this.size.read();
      body.n = Number(this.count.value);
    }
    body.seed = this.seed.read();
    for (const name of this.sources) {
      if (name === "mix") {
        Object.assign(body, await this.mix.read());
        if (!body.mix.length) throw missing("mix", "Write a text or add a picture to mix.");
      } else if (name === "mask") {
        if (!this.brush.acts.length) throw missing("mask", "Paint over what should be made anew.");
        body.mask = this.brush.read();
      } else {
        if (!this[name].picture) throw missing(name, "Choose a picture first.");
        body[name] = await dataUrl(this[name].picture.blob);
      }
    }
    return body;
  }

  /** Fill the form in; return sentences about what could not be done. */
  async write(recipe) {
    const notes = [];
    if (recipe.model && recipe.model in this.capabilities.models) {
      if (recipe.model !== this.model) {
        $("#model").value = recipe.model;
        this.setModel();
      }
    } else if (recipe.model) notes.push(`The model ${recipe.model} is not served here.`);
    if (this.tasks.includes(recipe.task)) this.setTask(recipe.task);
    else notes.push(`${taskName(recipe.task)}: this model does not do that.`);
    $("#prompt").value = recipe.prompt ?? "";
    $("#negative").value = recipe.negative_prompt ?? "";
    this.count.value = recipe.n ?? 1;
    this.seed.write(recipe.seed);
    const words = { scheduler: recipe.scheduler, output_format: recipe.output_format,
      upscale: recipe.upscale && String(recipe.upscale) };
    for (const [name, { write }] of Object.entries(this.options)) write(recipe.options?.[name] ?? words[name]);
    await this.writePictures(recipe, notes);
    if (recipe.size && this.task !== "upscale") this.size.write(recipe.size);
    return notes;
  }

  async writePictures({ pictures = {}, mix = [] }, notes) {
    for (const name of ["image", "hint"]) {
      if (!this.sources.includes(name)) continue;
      if (pictures[name]) await this[name].take(pictures[name][0]);
      else if (!this[name].picture) notes.push("Choose the picture that it started from again.");
    }
    if (this.sources.includes("mask") && pictures.mask) {
      this.brush.over(this.image.picture, await maskLayer(pictures.mask[0]));
    }
    if (!mix.length) return;
    this.mix.clear();
    for (const { text, image, weight } of mix) {
      if (text !== undefined) this.mix.addText(text, weight);
      else if (pictures.image?.[image]) await this.mix.addPicture(pictures.image[image], weight);
    }
  }

  /** Say what is wrong beside the field that is wrong, or above the button. */
  showProblem({ message, param }) {
    const name = { width: "size", height: "size" }[param] ?? param?.split(/[.[]/)[0];
    const place = name && [...this.element.querySelectorAll("[data-param]")]
      .find((one) => one.dataset.param === name && !one.hidden);
    if (!place) {
      $("#problem").textContent = message;
      return;
    }
    const inside = place.closest("details");
    if (inside) inside.open = true;
    const problem = $(".problem", place);
    problem.textContent = message;
    problem.id ||= `problem-${name}`;
    const control = $("input:not([type=file]), textarea, select, .choose, canvas", place);
    control?.setAttribute("aria-invalid", "true");
    control?.setAttribute("aria-errormessage", problem.id);
    control?.focus();
    place.scrollIntoView({ block: "nearest" });
  }

  clearProblems() {
    for (const problem of this.element.querySelectorAll(".problem")) problem.textContent = "";
    for (const control of this.element.querySelectorAll("[aria-invalid]")) {
      control.removeAttribute("aria-invalid");
      control.removeAttribute("aria-errormessage");
    }
  }

  // A draft outlives a reload of the page; its pictures do not.
  keepDraft() {
    const options = {};
    for (const [name, { read }] of Object.entries(this.options)) options[name] = read();
    const { scheduler, upscale, output_format } = options;
    sessionStorage.setItem(DRAFT, JSON.stringify({ task: this.task, model: this.model, prompt: $("#prompt").value,
      negative_prompt: $("#negative").value, n: this.count.value, seed: this.seed.read(), options, scheduler, upscale,
      output_format, size: this.task === "upscale" ? null : this.size.read(),
      mix: this.mix.rows.filter((row) => row.text).map((row) => ({ text: row.text(), weight: row.weight.value })) }));
  }

  restoreDraft() {
    try {
      const draft = JSON.parse(sessionStorage.getItem(DRAFT));
      if (draft) this.write(draft);
    } catch {
      sessionStorage.removeItem(DRAFT);
    }
  }
}
