// The server's jobs, newest first, and what is heard of those that are not finished.

import { call, callJson } from "./api.js";
import { jobEvents } from "./events.js";

const POLL = 1500; // milliseconds, while something waits or runs
const STREAMS = 3; // a browser holds only six connections to a server

export const isFinished = (job) => ["completed", "failed", "cancelled"].includes(job.status);

/** Sends `change` where a job, or the list, is another. */
export class Jobs extends EventTarget {
	list = [];
	followed = new Set();

	get(id) {
		return this.list.find((job) => job.id === id);
	}

	get active() {
		return this.list.filter((job) => !isFinished(job));
	}

	/** Ask for the newest jobs. */
	async load(limit = 50) {
		const { data } = await callJson(`v1/jobs?limit=${limit}`);
		const oldest = data.at(-1)?.created_at ?? 0;
		// What the server has removed meanwhile, as far as its answer reaches.
		this.list = this.list.filter((job) => job.created_at < oldest || data.some(({ id }) => id === job.id));
		this.add(data);
	}

	add(found) {
		for (const facts of found) {
			const known = this.get(facts.id);
			if (!known) this.list.push({ previews: new Map(), ...facts });
			// A stream knows more of its job than a list that was asked for before.
			else if (!isFinished(known) && !this.followed.has(known)) Object.assign(known, facts);
		}
		this.list.sort((a, b) => b.created_at - a.created_at || (b.id > a.id ? 1 : -1));
		this.changed();
		this.watch();
	}

	changed() {
		this.dispatchEvent(new Event("change"));
	}

	/** Follow what runs, and ask again for the rest, until nothing is left to wait for. */
	watch() {
		for (const job of this.active) {
			if (job.status === "running" && this.followed.size < STREAMS && !this.followed.has(job)) this.follow(job);
		}
		clearTimeout(this.timer);
		if (this.active.length) this.timer = setTimeout(() => this.load().catch(() => this.watch()), POLL);
	}

	async follow(job) {
		this.followed.add(job);
		let pace = 0;
		let before = 0;
		for await (const { kind, facts } of jobEvents(job.id)) {
			if (kind === "preview") job.previews.set(facts.index, `data:image/${job.output_format};base64,${facts.b64_json}`);
			if (kind === "picture") job.images.push(facts);
			if (kind === "progress") {
				const now = performance.now() / 1000;
				if (before) pace = pace ? 0.8 * pace + 0.2 * (now - before) : now - before;
				before = now;
				Object.assign(job, facts);
				job.eta_seconds = pace * (job.total_steps * Math.max(1, job.seeds.length - job.images.length) - job.step);
			}
			if (kind === "end") Object.assign(job, facts);
			this.changed();
		}
		this.followed.delete(job);
		this.watch();
	}

	async cancel(job) {
		// A job that has finished meanwhile needs no cancelling.
		await call(`v1/jobs/${job.id}/cancel`, { method: "POST" }).catch((error) => {
			if (error.code !== "job_finished") throw error;
		});
		await this.load();
	}

	async remove(job) {
		await call(`v1/jobs/${job.id}`, { method: "DELETE" });
		this.list = this.list.filter((one) => one !== job);
		this.changed();
	}
}
