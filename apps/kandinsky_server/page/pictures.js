// Pictures that lie on the server, and pictures as files.

import { call, key } from "./api.js";
import { h } from "./dom.js";

const fetched = new Map();

const path = (id, index) => `v1/images/${id}/content?index=${index}`;

export const pictureBlob = async (id, index) => (await call(path(id, index))).blob();

// An `img` sends no key: with one its picture is fetched.
export async function pictureUrl(id, index) {
	const url = path(id, index);
	if (!key()) return url;
	if (!fetched.has(url)) fetched.set(url, URL.createObjectURL(await pictureBlob(id, index)));
	return fetched.get(url);
}

export function dataUrl(blob) {
	return new Promise((done) => {
		const reader = new FileReader();
		reader.onload = () => done(reader.result);
		reader.readAsDataURL(blob);
	});
}

export function download(blob, name) {
	const href = URL.createObjectURL(blob);
	h("a", { href, download: name }).click();
	setTimeout(URL.revokeObjectURL, 9999, href);
}
