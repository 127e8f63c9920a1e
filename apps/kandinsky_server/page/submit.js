// Sends the form. A server that is busy or starting says when to try again, and then it is sent again.

import { callJson } from "./api.js";
import { $ } from "./dom.js";

const pause = (seconds, signal) => new Promise((done) => {
  const timer = setTimeout(done, seconds * 1000);
  signal.addEventListener("abort", () => (clearTimeout(timer), done()), { once: true });
});

let sending = null;

/** Send the form; return the job, or null where it was refused or given up. */
export async function submit(form) {
  if (sending) { // the button says "Stop trying"
    sending.abort();
    return null;
  }
  const button = $("#create");
  sending = new AbortController();
  const { signal } = sending;
  button.setAttribute("aria-busy", "true");
  try {
    const json = await form.read();
    while (!signal.aborted) {
      try {
        return await callJson("v1/jobs", { method: "POST", json, signal });
      } catch (error) {
        if (!error.retryAfter || signal.aborted) throw error;
        await countDown(error, button, signal);
      }
    }
  } catch (error) {
    if (!signal.aborted) form.showProblem(error);
  } finally {
    sending = null;
    button.textContent = "Create";
    button.removeAttribute("aria-busy");
  }
  return null;
}

async function countDown(error, button, signal) {
  button.textContent = "Stop trying";
  for (let left = error.retryAfter; left > 0 && !signal.aborted; left -= 1) {
    $("#problem").textContent = `${sentence(error.message)} This is sent again in ${left} s.`;
    await pause(1, signal);
  }
  $("#problem").textContent = "";
}

const sentence = (text) => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
