// Pictures that are dropped on the page, or pasted.

import { $ } from "./dom.js";

/** `take` gets a file, and whether it was put into a place for a picture. */
export function receivePictures(take) {
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
