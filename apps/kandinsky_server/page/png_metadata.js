// Finds what Kandinsky wrote into a PNG: a chunk `iTXt` of the name `kandinsky` holds JSON.

const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];
const KEY = "kandinsky";
const LONGEST = 1 << 20; // bytes of a text; a stranger may have written it

/** Return the metadata of a PNG's file, or null where it has none of this library. */
export async function metadataOf(file) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  if (SIGNATURE.some((byte, index) => bytes[index] !== byte)) return null;
  const view = new DataView(bytes.buffer);
  for (let at = 8; at + 12 <= bytes.length;) {
    const length = view.getUint32(at);
    const kind = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    if (kind === "iTXt" && length < LONGEST) {
      const text = await textOf(bytes.subarray(at + 8, at + 8 + length));
      if (text !== null) return parsed(text);
    }
    at += 12 + length;
  }
  return null;
}

/** A chunk is: name, 0, whether it is compressed, how, language, 0, translated name, 0, text. */
async function textOf(chunk) {
  const end = chunk.indexOf(0);
  if (String.fromCharCode(...chunk.subarray(0, Math.min(end, 79))) !== KEY) return null;
  const language = chunk.indexOf(0, end + 3);
  const text = chunk.subarray(chunk.indexOf(0, language + 1) + 1);
  if (!chunk[end + 1]) return new TextDecoder().decode(text);
  const plain = new Blob([text]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(plain).text();
}

function parsed(text) {
  try {
    const found = JSON.parse(text);
    return typeof found === "object" && !Array.isArray(found) ? found : null;
  } catch {
    return null;
  }
}
