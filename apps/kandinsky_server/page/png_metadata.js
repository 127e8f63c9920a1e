// Finds what Kandinsky wrote into a PNG: a chunk `iTXt` of the name `kandinsky` holds JSON.

const SIGNATURE = "\x89PNG\r\n\x1a\n";

export async function metadataOf(file) {
	const bytes = new Uint8Array(await file.arrayBuffer());
	const view = new DataView(bytes.buffer);
	const letters = (from, to) => String.fromCharCode(...bytes.subarray(from, to));
	if (letters(0, 8) !== SIGNATURE) return null;
	for (let at = 8; at + 12 <= bytes.length;) {
		const length = view.getUint32(at);
		// A chunk begins: name, 0, whether it is compressed (ours is not), how.
		if (letters(at + 4, at + 20) === "iTXtkandinsky\0\0\0") return parsed(bytes.subarray(at + 20, at + 8 + length));
		at += 12 + length;
	}
	return null;
}

// The rest: language, 0, translated name, 0, text.
function parsed(rest) {
	const text = rest.subarray(rest.indexOf(0, rest.indexOf(0) + 1) + 1);
	try {
		const found = JSON.parse(new TextDecoder().decode(text));
		return found?.constructor === Object ? found : null;
	} catch {
		return null;
	}
}
