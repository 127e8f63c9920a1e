// Starts the page and puts its parts together.

import { Refusal, callJson } from "./api.js";
import { $, say } from "./dom.js";
import { Form } from "./form.js";
import { Gallery } from "./gallery.js";
import { Jobs, isFinished } from "./jobs.js";
import { metadataOf } from "./png_metadata.js";
import { recipeOfJob, recipeOfMetadata } from "./recipe.js";
import { Stage } from "./stage.js";
import { stateOf } from "./words.js";

const jobs = new Jobs();
const own = new Set(); // jobs that were begun here, until they have ended
let form;
let selected;
let giveUp; // ends the wait for a queue that is full

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

/** Send a request, and again when the server says so. */
async function submit(json, tries = 20) {
	try {
		return await callJson("v1/jobs", { method: "POST", json });
	} catch (error) {
		if (!error.wait || !tries) throw error;
		$("#problem").textContent = `${error.message}. Sent again in ${error.wait} s; Create gives up.`;
		await new Promise((done, stop) => {
			giveUp = () => stop(new Refusal("Given up."));
			setTimeout(done, error.wait * 1000);
		});
		return submit(json, tries - 1);
	}
}

async function create() {
	const button = $("#create");
	if (button.ariaBusy === "true") return giveUp?.();
	button.ariaBusy = "true";
	try {
		const job = jobs.add(await submit(await form.read()));
		own.add(job);
		form.clearProblems();
		form.seed.drew(job.seeds[0]);
		select(job, 0, true);
	} finally {
		button.ariaBusy = "false";
	}
}

const ownActive = () => jobs.active.filter((job) => own.has(job));

function jobsChanged() {
	if (jobs.list.includes(selected?.job)) select(selected.job, selected.index);
	else stage.hide();
	$("#restart").hidden = !ownActive().length;
	for (const job of own) {
		if (!isFinished(job)) continue;
		own.delete(job);
		say(`${stateOf(job)}: ${job.prompt}, seed ${job.seeds}`);
	}
}

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
			if (error.code === "not_ready") {
				const { done, total } = await (await fetch("readyz")).json();
				line.textContent = `The server is warming up${total ? `: ${done} of ${total}` : ""}…`;
			}
		}
		await new Promise((done) => setTimeout(done, 1500));
	}
}

// A refusal is said beside its field, and not in the console.
addEventListener("unhandledrejection", (event) => {
	if (!form || !(event.reason instanceof Refusal)) return;
	event.preventDefault();
	form.showProblem(event.reason);
});

/** `take` gets a file, and whether it was put into a place for a picture. */
function receivePictures(take) {
	const veil = $("#drop");
	const holdsFile = (event) => event.dataTransfer.types.includes("Files");
	document.ondragover = (event) => {
		if (!holdsFile(event)) return;
		event.preventDefault();
		veil.hidden = false;
	};
	document.ondragleave = (event) => (veil.hidden ||= !event.relatedTarget);
	document.ondrop = (event) => {
		veil.hidden = true;
		if (!holdsFile(event)) return;
		event.preventDefault();
		take(event.dataTransfer.files[0], Boolean(event.target.closest("#sources")));
	};
	document.onpaste = (event) => {
		const [file] = event.clipboardData.files;
		if (!file) return;
		event.preventDefault();
		take(file, true);
	};
}

form = new Form(await capabilities());
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
