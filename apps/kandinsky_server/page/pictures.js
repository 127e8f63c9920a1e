// Pictures that lie on the server, and pictures as files.

import { call, key } from "./api.js";

const kept = new Map();

const path = (id, index) => `v1/images/${id}/content?index=${index}`;

/** A finished picture's file, as the server keeps it: with all that makes it again. */
export const pictureBlob = async (id, index) => (await call(path(id, index))).blob();

/** What an `img` may show. A key cannot be sent by an `img`, so its pictures are fetched first. */
export function pictureUrl(id, index) {
  if (!key()) return Promise.resolve(path(id, index));
  const name = `${id}/${index}`;
  if (!kept.has(name)) {
    const url = pictureBlob(id, index).then(URL.createObjectURL);
    url.catch(() => kept.delete(name));
    kept.set(name, url);
  }
  return kept.get(name);
}

/** Let go of a removed job's pictures. */
export function forgetPictures(id) {
  for (const [name, url] of kept) {
    if (name.startsWith(`${id}/`)) {
      kept.delete(name);
      url.then(URL.revokeObjectURL, () => {});
    }
  }
}

const SENT = ["image/png", "image/jpeg", "image/webp"];

/**
 * A file as the server takes it, with its size. Other kinds that the browser can read become PNG,
 * and one beyond the server's limits is made smaller.
 */
export async function opened(file, limits) {
  const url = URL.createObjectURL(file);
  try {
    const image = new Image();
    image.src = url;
    await image.decode().catch(() => {
      throw new Error(`${file.name || "This file"} is no picture that this browser can read.`);
    });
    const { naturalWidth: width, naturalHeight: height } = image;
    const shrink = Math.min(1, Math.sqrt(limits.upload_pixels / (width * height)));
    if (shrink === 1 && SENT.includes(file.type) && file.size <= limits.upload_bytes) {
      return { blob: file, width, height };
    }
    const canvas = document.createElement("canvas");
    canvas.width = Math.floor(width * shrink);
    canvas.height = Math.floor(height * shrink);
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
    const kind = shrink === 1 && file.size <= limits.upload_bytes ? "image/png" : "image/jpeg";
    const blob = await new Promise((done) => canvas.toBlob(done, kind, 0.95));
    return { blob, width: canvas.width, height: canvas.height };
  } finally {
    URL.revokeObjectURL(url);
  }
}

export function dataUrl(blob) {
  return new Promise((done, failed) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result);
    reader.onerror = () => failed(new Error("The picture cannot be read."));
    reader.readAsDataURL(blob);
  });
}

export function download(blob, name) {
  const url = URL.createObjectURL(blob);
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(URL.revokeObjectURL, 10000, url);
}
