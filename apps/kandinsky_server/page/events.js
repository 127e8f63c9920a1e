// The server's events of a job. `EventSource` sends no key, so the stream is read by `fetch`.

import { call } from "./api.js";

/** Yield `{kind, facts}` until the job has ended; a stream that breaks off goes on where it was. */
export async function* jobEvents(id) {
	let last = "0";
	for (;;) {
		try {
			const { body } = await call(`v1/jobs/${id}/events`, { headers: { "Last-Event-ID": last } });
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
