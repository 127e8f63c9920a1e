// The jobs of the server, newest first, and what is heard of those that are not finished.

import { call, callJson } from "./api.js";
import { jobEvents } from "./events.js";
import { forgetPictures } from "./pictures.js";

const POLL = 1.5; // seconds, while something waits or runs
const STREAMS = 3; // a browser holds only six connections to a server
const FINISHED = ["completed", "failed", "cancelled"];

export const isFinished = (job) => FINISHED.includes(job.status);

/** Sends `change` events; `detail` is the job, or null where the list is another. */
export class Jobs extends EventTarget {
  list = [];
  more = false;
  streams = new Map();

  get(id) {
    return this.list.find((job) => job.id === id);
  }

  get active() {
    return this.list.filter((job) => !isFinished(job));
  }

  async load() {
    const page = await callJson("v1/jobs?limit=50");
    const gone = page.data.length ? page.data.at(-1).created_at : Infinity;
    // What the server has removed meanwhile, as far as this page of its list reaches.
    this.list = this.list.filter((job) => job.created_at < gone || page.data.some((one) => one.id === job.id));
    this.more ||= page.has_more;
    page.data.forEach((facts) => this.take(facts));
    this.changed(null);
    this.watch();
  }

  async older() {
    const page = await callJson(`v1/jobs?limit=50&after=${this.list.at(-1).id}`);
    this.more = page.has_more;
    page.data.forEach((facts) => this.take(facts));
    this.changed(null);
  }

  add(facts) {
    this.take(facts);
    this.changed(null);
    this.watch();
  }

  take(facts) {
    const known = this.get(facts.id);
    if (!known) {
      this.list.push({ previews: new Map(), ...facts });
      this.list.sort((a, b) => b.created_at - a.created_at || (b.id > a.id ? 1 : -1));
    } else if (!isFinished(known)) {
      const { step, total_steps, eta_seconds } = known;
      Object.assign(known, facts);
      // A stream knows more of a running job than a list that was asked for before.
      if (this.streams.has(facts.id) && total_steps && !isFinished(known)) {
        Object.assign(known, { step, total_steps, eta_seconds });
      }
    }
  }

  changed(job) {
    this.dispatchEvent(new CustomEvent("change", { detail: job }));
  }

  /** Follow what runs, and ask again for the rest, until nothing is left to wait for. */
  watch() {
    for (const job of this.active) {
      if (job.status === "running" && this.streams.size < STREAMS && !this.streams.has(job.id)) this.follow(job);
    }
    clearTimeout(this.timer);
    if (!this.active.length) return;
    this.timer = setTimeout(() => this.load().catch(() => this.watch()), POLL * 1000);
  }

  async follow(job) {
    const stop = new AbortController();
    this.streams.set(job.id, stop);
    let pace = null;
    let before = performance.now();
    for await (const { kind, facts } of jobEvents(job.id, stop.signal)) {
      if (kind === "status") job.status = facts.status;
      if (kind === "preview") job.previews.set(facts.index, `data:image/${job.output_format};base64,${facts.b64_json}`);
      if (kind === "picture") job.images.push({ index: facts.index, seed: facts.seed });
      if (kind === "progress") {
        const now = performance.now();
        const took = (now - before) / 1000;
        pace = job.total_steps ? (pace === null ? took : 0.8 * pace + 0.2 * took) : null;
        before = now;
        Object.assign(job, facts);
        const left = job.seeds.length - job.images.length - 1;
        if (pace !== null) job.eta_seconds = pace * (job.total_steps * (1 + left) - job.step);
      }
      if (kind === "end") Object.assign(job, facts, { previews: new Map() });
      this.changed(job);
    }
    this.streams.delete(job.id);
    this.watch();
  }

  async cancel(job) {
    try {
      await call(`v1/jobs/${job.id}/cancel`, { method: "POST" });
    } catch (error) {
      if (error.status !== 409) throw error; // it has finished meanwhile, which the list tells
    }
    await this.load();
  }

  async remove(job) {
    await call(`v1/jobs/${job.id}`, { method: "DELETE" });
    this.list = this.list.filter((one) => one !== job);
    forgetPictures(job.id);
    this.changed(null);
  }
}
