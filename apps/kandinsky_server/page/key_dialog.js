// Asks for the server's key.

import { $ } from "./dom.js";

/** Resolve with the key, or with null where there is none. */
export function askForKey(wrong) {
  const dialog = $("#key-dialog");
  const input = $("#key-input");
  $("#key-problem").textContent = wrong ? "The server does not know this key." : "";
  input.value = "";
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((done) => {
    dialog.addEventListener("close", () => done(dialog.returnValue === "ok" ? input.value.trim() : null),
      { once: true });
  });
}
