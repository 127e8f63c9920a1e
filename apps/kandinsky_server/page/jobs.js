// The server's jobs, newest first, and what is heard of those that are not finished.

import { call, callJson } from "./api.js";

const POLL = 1500; // milliseconds; ten times that while nothing waits or runs
const STREAMS = 3; // a browser holds only six connections to a server

export const isFinished = (job) => ["completed", "failed", "cancelled"].includes(job.status);

export class Jobs extends EventTarget {
	list = [];
	followed = new Set();

	get active() {
		return this.list.filter((job) => !isFinished(job));
	}

	async load(limit = 50) {
		const asked = Date.now();
		const { data } = await callJson(`v1/jobs?limit=${limit}`);
		const found = data.map((facts) => this.taken(facts));
		const others = this.list.filter((job) => !found.includes(job));
		// Jobs beyond the answer stay: those sent after the question, and older ones.
		const reach = data.length < limit ? 0 : data.at(-1).created_at;
		this.list = [...others.filter((job) => job.since > asked), ...found,
			...others.filter((job) => job.since <= asked && job.created_at <= reach)];
		this.watch();
	}

	add(facts) {
		const job = this.taken(facts);
		if (!this.list.includes(job)) this.list.unshift(job);
		if (this.followed.size < STREAMS) this.follow(job);
		this.watch();
		return job;
	}

	taken(facts) {
		const known = this.list.find(({ id }) => id === facts.id);
		if (!known) return { ...facts, previews: new Map(), since: Date.now() };
		// A stream knows more of a running job than a list that was asked for before.
		const ahead = isFinished(known) || (known.status === "running" && this.followed.has(known));
		if (!ahead) Object.assign(known, facts);
		return known;
	}

	changed() {
		this.dispatchEvent(new Event("change"));
	}

	watch() {
		this.changed();
		const fresh = this.active.filter((job) => job.status === "running" && !this.followed.has(job));
		fresh.slice(0, STREAMS - this.followed.size).forEach((job) => this.follow(job));
		clearTimeout(this.timer);
		const pause = this.active.length ? POLL : 10 * POLL;
		this.timer = setTimeout(() => this.load().catch(() => this.watch()), pause);
	}

	async follow(job) {
		this.followed.add(job);
		let pace = 0;
		let before = 0;
		for await (const { kind, facts } of jobEvents(job.id)) {
			if (kind === "status") job.status = facts.status;
			if (kind === "preview") job.previews.set(facts.index, `data:image/${job.output_format};base64,${facts.b64_json}`);
			if (kind === "picture") job.images.push(facts);
			if (kind === "progress") {
				const now = performance.now() / 1000;
				if (before) pace = pace ? 0.8 * pace + 0.2 * (now - before) : now - before;
				before = now;
				Object.assign(job, facts);
				job.eta_seconds = pace * (job.total_steps * Math.max(1, job.seeds.length - job.images.length) - job.step);
			}
			if (kind === "end") Object.assign(job, facts, { previews: new Map() });
			this.changed();
		}
		this.followed.delete(job);
		if (!isFinished(job)) this.forget(job); // the server lost it
		this.watch();
	}

	async cancel(job) {
		await call(`v1/jobs/${job.id}/cancel`, { method: "POST" }).catch((error) => {
			if (error.code !== "job_finished") throw error;
		});
		await this.load();
	}

	async remove(job) {
		await call(`v1/jobs/${job.id}`, { method: "DELETE" });
		this.forget(job);
		this.changed();
	}

	forget(job) {
		this.list = this.list.filter((one) => one !== job);
	}
}

// `EventSource` sends no key, so streams are read by `fetch`.
/** Yield `{kind, facts}` until the job has ended; a stream that breaks off goes on where it was. */
async function* jobEvents(id) {
	let last = "0";
	for (;;) {
		try {
			const { body } = await call(`v1/jobs/${id}/events`, { headers: { "Last-Event-ID": last } });
			if (!body) return;
			for await (const event of parsed(body)) {
				last = event.id;
				yield event;
				if (event.kind === "end") return;
			}
		} catch (error) {
			if (error.code) return; // the server knows the job no longer
		}
		await new Promise((done) => setTimeout(done, 1000));
	}
}

async function* parsed(body) {
	const reader = body.pipeThrough(new TextDecoderStream()).getReader();
	let text = "";
	for (;;) {
		const { done, value } = await reader.read();
		if (done) return;
		const parts = (text + value).split("\n\n");
		text = parts.pop();
		for (const part of parts) {
			const lines = Object.fromEntries(part.split("\n").map((line) => line.split(/: (.*)/s)));
			if (lines.data) yield { id: lines.id, kind: lines.event, facts: JSON.parse(lines.data) };
		}
	}
}
