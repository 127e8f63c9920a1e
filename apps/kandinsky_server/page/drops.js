// Pictures that are dropped on the page, or pasted.

import { $ } from "./dom.js";

const SOURCES = '.slot, .mask, [data-param="mix"]';

/** @param take Called with a file, and whether it was put into a place for a picture. */
export function receivePictures(take) {
  const veil = $("#drop");
  const holdsFile = (event) => event.dataTransfer?.types.includes("Files");
  document.addEventListener("dragover", (event) => {
    if (!holdsFile(event)) return;
    event.preventDefault();
    veil.hidden = false;
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) veil.hidden = true;
  });
  document.addEventListener("drop", (event) => {
    veil.hidden = true;
    if (!holdsFile(event)) return;
    event.preventDefault();
    take(event.dataTransfer.files[0], Boolean(event.target.closest?.(SOURCES)));
  });
  document.addEventListener("paste", (event) => {
    const [file] = event.clipboardData.files;
    if (!file) return;
    event.preventDefault();
    take(file, true);
  });
}
