// A mask that is painted over a picture: by mouse, touch, pen, or the arrow keys.

import { button, h } from "./dom.js";

const LARGEST = 1024; // Pixels of the mask's longer side: a brush needs no more.

export class MaskBrush {
  constructor() {
    this.acts = []; // Everything since the beginning; undo leaves the last one out and paints anew.
    this.canvas = h("canvas", { tabIndex: 0, role: "img", "aria-describedby": "mask-keys",
      onpointerdown: (event) => this.begin(event), onpointermove: (event) => this.move(event),
      onpointerup: () => (this.stroke = null), onpointercancel: () => (this.stroke = null),
      onpointerleave: () => (this.ring.hidden = true), onkeydown: (event) => this.press(event),
      onblur: () => (this.ring.hidden = true) });
    this.image = h("img", { alt: "" });
    this.ring = h("i", { class: "ring", hidden: true });
    this.size = h("input", { type: "range", min: "2", max: "50", value: "14", "aria-label": "Size of the brush" });
    this.erasing = button("Erase", () => this.setErasing(!this.erase), { "aria-pressed": "false" });
    this.undoing = button("Undo", () => this.undo());
    this.element = h("div", { class: "field mask" },
      h("span", { class: "label" }, "Paint what should be made anew"),
      h("div", { class: "easel" }, this.image, this.canvas, this.ring),
      h("label", { class: "row" }, "Brush", this.size),
      h("div", { class: "row" }, this.erasing, this.undoing, button("Invert", () => this.act({ kind: "invert" })),
        button("Clear", () => this.act({ kind: "clear" }))),
      h("p", { class: "hint", id: "mask-keys" },
        "Keys: arrows move the brush, space paints, E erases, [ and ] change its size, Z undoes, I inverts."),
      h("p", { class: "problem" }));
    this.element.dataset.param = "mask";
    this.erase = false;
    this.tell();
  }

  /** Begin anew over a picture; `mask` is white where to repaint. */
  over(picture, mask = null) {
    this.picture = picture;
    if (picture) {
      const shrink = Math.min(1, LARGEST / Math.max(picture.width, picture.height));
      // A small picture gets a finer mask, whose edges follow the brush.
      const grow = Math.max(1, Math.round(256 / Math.max(picture.width, picture.height)));
      this.canvas.width = Math.round(picture.width * shrink) * grow;
      this.canvas.height = Math.round(picture.height * shrink) * grow;
      this.image.src = picture.url;
      this.at = { x: this.canvas.width / 2, y: this.canvas.height / 2 };
    }
    this.acts = mask ? [{ kind: "mask", mask }] : [];
    this.paint();
  }

  get radius() {
    return (Math.min(this.canvas.width, this.canvas.height) * this.size.value) / 200;
  }

  setErasing(erase) {
    this.erase = erase;
    this.erasing.setAttribute("aria-pressed", String(erase));
  }

  begin(event) {
    if (event.button > 0) return;
    event.preventDefault();
    this.canvas.focus({ preventScroll: true });
    this.canvas.setPointerCapture(event.pointerId);
    this.stroke = { kind: "stroke", points: [], erase: this.erase || event.buttons === 32 }; // a pen's eraser
    this.act(this.stroke);
    this.move(event);
  }

  move(event) {
    this.at = this.place(event);
    this.showRing();
    if (!this.stroke) return;
    for (const one of event.getCoalescedEvents?.().concat(event) ?? [event]) {
      const pressure = one.pointerType === "pen" && one.pressure ? 0.3 + 0.7 * one.pressure : 1;
      this.extend({ ...this.place(one), radius: this.radius * pressure });
    }
  }

  place(event) {
    const box = this.canvas.getBoundingClientRect();
    return { x: ((event.clientX - box.left) * this.canvas.width) / box.width,
      y: ((event.clientY - box.top) * this.canvas.height) / box.height };
  }

  extend(point) {
    this.stroke.points.push(point);
    this.segment(this.stroke, this.stroke.points.length - 1);
    this.tell();
  }

  press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const far = Math.max(2, this.radius / 2);
    const moves = { ArrowLeft: [-far, 0], ArrowRight: [far, 0], ArrowUp: [0, -far], ArrowDown: [0, far] };
    const others = { e: () => this.setErasing(!this.erase), z: () => this.undo(), i: () => this.act({ kind: "invert" }),
      "[": () => (this.size.value -= 2), "]": () => (this.size.value = Number(this.size.value) + 2),
      " ": () => {
        this.stroke = { kind: "stroke", points: [], erase: this.erase };
        this.act(this.stroke);
        this.extend({ ...this.at, radius: this.radius });
        this.stroke = null;
      } };
    if (moves[event.key]) {
      const [x, y] = moves[event.key];
      this.at = { x: clamp(this.at.x + x, this.canvas.width), y: clamp(this.at.y + y, this.canvas.height) };
    } else if (others[event.key]) others[event.key]();
    else return;
    event.preventDefault();
    this.showRing();
  }

  showRing() {
    const scale = this.canvas.clientWidth / this.canvas.width;
    const { style } = this.ring;
    this.ring.hidden = false;
    style.width = style.height = `${2 * this.radius * scale}px`;
    style.left = `${this.canvas.offsetLeft + (this.at.x - this.radius) * scale}px`;
    style.top = `${this.canvas.offsetTop + (this.at.y - this.radius) * scale}px`;
  }

  act(act) {
    this.acts.push(act);
    this.draw(act);
    this.tell();
  }

  undo() {
    this.acts.pop();
    this.paint();
  }

  paint() {
    this.draw({ kind: "clear" });
    this.acts.forEach((act) => this.draw(act));
    this.tell();
  }

  draw(act) {
    const { width, height } = this.canvas;
    const pen = this.canvas.getContext("2d");
    pen.fillStyle = pen.strokeStyle = "#4d64ff";
    pen.globalCompositeOperation = "source-over";
    if (act.kind === "clear") pen.clearRect(0, 0, width, height);
    if (act.kind === "mask") pen.drawImage(act.mask, 0, 0, width, height);
    if (act.kind === "stroke") act.points.forEach((_, index) => this.segment(act, index));
    if (act.kind === "invert") {
      pen.globalCompositeOperation = "xor";
      pen.fillRect(0, 0, width, height);
    }
  }

  /** Draw the part of a stroke that ends at a point. */
  segment({ points, erase }, index) {
    const pen = this.canvas.getContext("2d");
    const to = points[index];
    const from = points[index - 1] ?? to;
    pen.globalCompositeOperation = erase ? "destination-out" : "source-over";
    pen.fillStyle = pen.strokeStyle = "#4d64ff";
    pen.lineCap = "round";
    pen.lineWidth = 2 * to.radius;
    pen.beginPath();
    pen.moveTo(from.x, from.y);
    pen.lineTo(to.x, to.y + 0.01); // a line of no length would be no dot
    pen.stroke();
  }

  tell() {
    this.undoing.disabled = !this.acts.length;
    const none = this.acts.length ? "" : " Nothing is painted yet.";
    this.canvas.setAttribute("aria-label", `Mask over the picture.${none}`);
  }

  /** The mask as a canvas, white on black. */
  drawn() {
    const made = document.createElement("canvas");
    made.width = this.canvas.width;
    made.height = this.canvas.height;
    const pen = made.getContext("2d");
    pen.drawImage(this.canvas, 0, 0);
    for (const [how, colour] of [["source-in", "#fff"], ["destination-over", "#000"]]) {
      pen.globalCompositeOperation = how;
      pen.fillStyle = colour;
      pen.fillRect(0, 0, made.width, made.height);
    }
    return made;
  }

  /** The mask as a data URL. */
  read() {
    return this.drawn().toDataURL("image/png");
  }
}

const clamp = (value, most) => Math.min(most, Math.max(0, value));

/** A mask's file, clear where nothing is repainted, for `over`. */
export async function maskLayer(blob) {
  const bitmap = await createImageBitmap(blob);
  const made = document.createElement("canvas");
  made.width = bitmap.width;
  made.height = bitmap.height;
  const pen = made.getContext("2d");
  pen.drawImage(bitmap, 0, 0);
  const data = pen.getImageData(0, 0, made.width, made.height);
  for (let at = 0; at < data.data.length; at += 4) {
    data.data[at + 3] = data.data[at];
    data.data.set([77, 100, 255], at);
  }
  pen.putImageData(data, 0, 0);
  return made;
}
