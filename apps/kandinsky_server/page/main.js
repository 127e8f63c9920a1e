// Starts the page and puts its parts together.

import { Refusal, callJson, forgetKey, key, onMissingKey } from "./api.js";
import { $, say } from "./dom.js";
import { receivePictures } from "./drops.js";
import { Form } from "./form.js";
import { Gallery } from "./gallery.js";
import { Jobs, isFinished } from "./jobs.js";
import { askForKey } from "./key_dialog.js";
import { metadataOf } from "./png_metadata.js";
import { recipeOfJob, recipeOfMetadata } from "./recipe.js";
import { Stage } from "./stage.js";
import { submit } from "./submit.js";
import { stateOf } from "./words.js";

const jobs = new Jobs();
const own = new Map(); // jobs of this page: id -> the state that was told last
let form = null;
let selected = null;

const gallery = new Gallery(jobs, (job, index) => select(job, index, true));
const stage = new Stage({
  useSeed: (seed) => {
    form.seed.write(seed);
    say(`The seed is ${seed}.`);
    form.seed.input.focus();
  },
  useAll: async (job, seed) => restore(await recipeOfJob(job, seed)),
  useAsInput: (blob) => takeInput(new File([blob], "picture", { type: blob.type })),
  cancel: (job) => jobs.cancel(job),
  remove: async (job) => {
    await jobs.remove(job);
    deselect();
  },
});

function select(job, index, scroll = false) {
  selected = { job, index };
  stage.show(job, index);
  gallery.mark(job, index);
  if (scroll) stage.element.scrollIntoView({ block: "nearest" });
}

function deselect() {
  selected = null;
  stage.hide();
  $("#gallery").focus();
}

async function restore(recipe) {
  const notes = await form.write(recipe);
  form.clearProblems();
  const text = ["The settings are in the form.", ...notes].join(" ");
  if (notes.length) $("#problem").textContent = notes.join(" ");
  say(text);
  form.element.scrollIntoView({ block: "nearest" });
}

async function takeInput(file) {
  await form.takePicture(file);
  say("The picture is in the form.");
  form.element.scrollIntoView({ block: "nearest" });
}

async function create() {
  const job = await submit(form);
  if (!job) return;
  own.set(job.id, "");
  jobs.add(job);
  form.seed.drew(job.seeds[0]);
  select(jobs.get(job.id), 0, true);
}

/** Show what changed, and tell of the jobs that were begun here. */
function jobsChanged({ detail }) {
  if (selected && (!detail || detail === selected.job)) select(selected.job, selected.index);
  const working = jobs.active.filter((job) => own.has(job.id));
  $("#restart").hidden = !working.length;
  const leading = working.at(-1);
  document.title = leading?.total_steps ? `${Math.round((100 * leading.step) / leading.total_steps)} % · Kandinsky` : "Kandinsky";
  for (const [id, told] of own) {
    const job = jobs.get(id);
    if (!job || job.status === told) continue;
    own.set(id, job.status);
    say(job.status === "completed" ? `Done: ${job.prompt || "the picture"}, seed ${job.seeds.join(", ")}.` : `${stateOf(job)}.`);
    if (isFinished(job)) own.delete(id);
  }
}

async function cancelAndRestart() {
  const [last] = jobs.active.filter((job) => own.has(job.id));
  if (last) await jobs.cancel(last);
  await create();
}

/** Wait until the server has warmed up, and return what it can do. */
async function capabilities() {
  const line = $("#server");
  for (;;) {
    try {
      const found = await callJson("v1/capabilities");
      const facts = found.models[found.default_model];
      line.textContent = `Ready on ${facts.device}`;
      line.className = "server ready";
      return found;
    } catch (error) {
      line.className = "server";
      line.textContent = error.message;
      if (error.status === 401) {
        await new Promise((done) => $("#key").addEventListener("click", done, { once: true }));
      } else if (error.code === "not_ready") {
        const { status, done, total } = await (await fetch("readyz")).json();
        const part = total ? ` (${done} of ${total})` : "";
        line.textContent = status === "failed" ? "The server could not start: see its log" : `The server is warming up${part}…`;
      }
      await new Promise((done) => setTimeout(done, 1500));
    }
  }
}

function listen() {
  form.element.addEventListener("submit", (event) => {
    event.preventDefault();
    create();
  });
  form.element.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) create();
  });
  $("#restart").onclick = cancelAndRestart;
  jobs.addEventListener("change", jobsChanged);
  document.addEventListener("visibilitychange", () => document.hidden || jobs.load());
  receivePictures(async (file, intoPlace) => {
    const found = intoPlace ? null : await metadataOf(file);
    await (found ? restore(recipeOfMetadata(found)) : takeInput(file));
  });
}

// What goes wrong in an action is said where people look, not only in the console.
addEventListener("unhandledrejection", (event) => {
  if (!(event.reason instanceof Refusal)) return;
  event.preventDefault();
  $("#problem").textContent = event.reason.message;
});

onMissingKey(askForKey);
const found = await capabilities();
$("#key").hidden = !key();
$("#key").onclick = () => {
  forgetKey();
  location.reload();
};
form = new Form(found);
listen();
await jobs.load();
