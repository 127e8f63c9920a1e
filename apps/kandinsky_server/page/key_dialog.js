// Asks for the server's key.

import { $ } from "./dom.js";

/** Resolve with the key, or with null where there is none. */
export function askForKey(wrong) {
	const dialog = $("#key-dialog");
	$("#key-problem").textContent = wrong ? "The server does not know this key." : "";
	$("#key-input").value = dialog.returnValue = "";
	dialog.showModal();
	return new Promise((done) => {
		dialog.onclose = () => done(dialog.returnValue ? $("#key-input").value.trim() : null);
	});
}
