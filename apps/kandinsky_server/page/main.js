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
import { stateOf } from "./words.js";

const jobs = new Jobs();
const own = new Map(); // jobs that were begun here: id -> the state that was told last
let form;
let selected;

const gallery = new Gallery(jobs, (job, index) => select(job, index, true));
const stage = new Stage({
	useSeed: (seed) => {
		form.seed.write(seed);
		form.seed.input.focus();
	},
	useAll: async (job, seed) => restore(await recipeOfJob(job, seed)),
	useAsInput: takeInput,
	cancel: (job) => jobs.cancel(job),
	remove: async (job) => {
		await jobs.remove(job);
		selected = null;
		stage.hide();
		$("#gallery").focus();
	},
});

function select(job, index, scroll) {
	selected = { job, index };
	stage.show(job, index);
	gallery.mark(job, index);
	if (scroll) $("#stage").scrollIntoView({ block: "nearest" });
}

async function restore(recipe) {
	const notes = await form.write(recipe);
	$("#problem").textContent = notes.join(" ");
	inForm("The settings are in the form.");
}

async function takeInput(file) {
	await form.takePicture(file);
	inForm("The picture is in the form.");
}

function inForm(text) {
	say(text);
	form.element.scrollIntoView({ block: "nearest" });
}

async function create() {
	const button = $("#create");
	if (button.ariaBusy === "true") return;
	button.ariaBusy = "true";
	try {
		const job = await callJson("v1/jobs", { method: "POST", json: await form.read() });
		own.set(job.id, "");
		jobs.add(job);
		form.seed.drew(job.seeds[0]);
		select(jobs.get(job.id), 0, true);
	} finally {
		button.ariaBusy = "false";
	}
}

const ownActive = () => jobs.active.filter((job) => own.has(job.id));

/** Show what has changed, and tell of the jobs that were begun here. */
function jobsChanged() {
	if (selected) select(selected.job, selected.index);
	$("#restart").hidden = !ownActive().length;
	for (const [id, told] of own) {
		const job = jobs.get(id);
		if (!job || job.status === told) continue;
		own.set(id, job.status);
		say(job.status === "completed" ? `Done: ${job.prompt}, seed ${job.seeds.join(", ")}` : stateOf(job));
		if (isFinished(job)) own.delete(id);
	}
}

/** Wait until the server has warmed up, and return what it can do. */
async function capabilities() {
	const line = $("#server");
	for (;;) {
		try {
			const found = await callJson("v1/capabilities");
			line.textContent = `Ready on ${found.models[found.default_model].device}`;
			line.className = "ready";
			return found;
		} catch (error) {
			line.textContent = error.message;
			if (error.code === "no_key") {
				$("#key").hidden = false;
				await new Promise((done) => ($("#key").onclick = done));
			} else if (error.code === "not_ready") {
				const { done, total } = await (await fetch("readyz")).json();
				line.textContent = `The server is warming up${total ? `: ${done} of ${total}` : ""}…`;
			}
		}
		await new Promise((done) => setTimeout(done, 1500));
	}
}

// Every refusal is said where people look, beside its field, and not only in the console.
addEventListener("unhandledrejection", (event) => {
	if (!form || !(event.reason instanceof Refusal)) return;
	event.preventDefault();
	form.showProblem(event.reason);
});

onMissingKey(askForKey);
form = new Form(await capabilities());
$("#key").hidden = !key();
$("#key").onclick = () => {
	forgetKey();
	location.reload();
};
form.element.onsubmit = (event) => {
	event.preventDefault();
	create();
};
form.element.onkeydown = (event) => {
	if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) create();
};
$("#restart").onclick = async () => {
	await jobs.cancel(ownActive()[0]);
	await create();
};
jobs.addEventListener("change", jobsChanged);
document.onvisibilitychange = () => document.hidden || jobs.load();
receivePictures(async (file, intoPlace) => {
	const found = !intoPlace && (await metadataOf(file));
	await (found ? restore(recipeOfMetadata(found)) : takeInput(file));
});
await jobs.load(500);
if (jobs.list.length) select(jobs.list[0], 0);
