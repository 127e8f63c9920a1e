// Requests to the server: the key, and refusals as errors.

import { $ } from "./dom.js";

const STORED = "kandinsky.key";
let asking = null;

export class Refusal extends Error {
	constructor(message, param = null, code = "", wait = 0) {
		super(message);
		Object.assign(this, { param, code, wait });
	}
}

export const key = () => sessionStorage.getItem(STORED);

/** Send a request. Paths are relative, so that the page works below any path of a proxy. */
export async function call(path, { json, headers, ...options } = {}) {
	for (;;) {
		const used = key();
		const sent = new Headers(headers);
		if (used) sent.set("Authorization", `Bearer ${used}`);
		if (json) sent.set("Content-Type", "application/json");
		const response = await fetch(path, { ...options, headers: sent, body: json && JSON.stringify(json) })
			.catch(() => {
				throw new Refusal("The server cannot be reached.");
			});
		if (response.ok) return response;
		if (response.status !== 401) throw await refusal(response);
		if (used === key()) await newKey(used);
	}
}

export const callJson = async (path, options) => (await call(path, options)).json();

async function newKey(wrong) {
	asking ??= askForKey(wrong).finally(() => (asking = null));
	const given = await asking;
	if (!given) throw new Refusal("This server asks for a key.");
	sessionStorage.setItem(STORED, given);
}

async function refusal(response) {
	const { error } = await response.json().catch(() => ({}));
	if (!error) return new Refusal(`The server answered with ${response.status}.`);
	const wait = response.headers.get("Retry-After");
	// Beside its field, a message needs no name and value of it.
	const text = error.message.replace(/^\w+(=\S*)?: /, "");
	const message = text.charAt(0).toUpperCase() + text.slice(1);
	// A refusal by a pipeline names no field, but begins with its name.
	const param = error.param ?? error.message.split(/\W/)[0];
	return new Refusal(message, param, error.code, Number(wait));
}

/** Resolve with the key, or with null where there is none. */
function askForKey(wrong) {
	const dialog = $("#key-dialog");
	$("#key-problem").textContent = wrong ? "The server does not know this key." : "";
	$("#key-input").value = dialog.returnValue = "";
	dialog.showModal();
	return new Promise((done) => {
		dialog.onclose = () => done(dialog.returnValue ? $("#key-input").value.trim() : null);
	});
}
