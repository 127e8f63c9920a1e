// The server's events of a job. `EventSource` sends no key, so the stream is read by `fetch`.

import { call } from "./api.js";

const pause = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));

/** Yield `{kind, facts}` until the job has ended; a stream that breaks off goes on where it was. */
export async function* jobEvents(id, signal) {
  let last = "0";
  for (;;) {
    try {
      const response = await call(`v1/jobs/${id}/events`, { headers: { "Last-Event-ID": last }, signal });
      for await (const event of parsed(response.body)) {
        last = event.id;
        yield event;
        if (event.kind === "end") return;
      }
    } catch (error) {
      if (signal.aborted || (error.status >= 400 && error.status < 500)) return;
    }
    await pause(1);
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
      const lines = Object.fromEntries(part.split("\n").map((line) => {
        const colon = line.indexOf(": ");
        return [line.slice(0, colon), line.slice(colon + 2)];
      }));
      if (lines.data) yield { id: lines.id, kind: lines.event, facts: JSON.parse(lines.data) };
    }
  }
}
