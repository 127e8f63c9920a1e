// A mask, white on black, that is painted over a picture: by mouse, touch, pen, or keys.

import { button, group, h } from "./dom.js";

const LARGEST = 1024; // pixels of the mask's longer side: a brush needs no more

export class MaskBrush {
	acts = []; // everything since the beginning; undo leaves the last one out and paints anew

	constructor() {
		const end = () => (this.stroke = null);
		this.canvas = h("canvas", { tabIndex: 0, role: "img", "aria-label": "Mask", "aria-describedby": "mask-keys",
			onpointerdown: (event) => this.begin(event), onpointermove: (event) => this.move(event),
			onpointerup: end, onpointercancel: end, onkeydown: (event) => this.press(event),
			onpointerleave: () => (this.ring.hidden = true) });
		this.image = h("img", { alt: "" });
		this.ring = h("i.ring", { hidden: true });
		this.size = h("input", { type: "range", min: "2", max: "50", value: "16" });
		this.erasing = button("Erase", () => this.setErasing(!this.erase));
		this.undoing = button("Undo", () => this.undo());
		this.element = group("mask", "Paint what should be made anew",
			h("div.easel", {}, this.image, this.canvas, this.ring),
			h("label", {}, "Brush", this.size),
			h("div.row", {}, this.erasing, this.undoing, button("Invert", () => this.act({ kind: "invert" }))),
			h("p.hint", { id: "mask-keys" }, "By keys: arrows move the brush, space paints."));
		this.setErasing(false);
	}

	over(picture, mask) {
		this.acts = mask ? [{ mask }] : [];
		if (!picture) return;
		// A small picture gets a finer mask, whose edges follow the brush.
		const longest = Math.max(picture.width, picture.height);
		const scale = longest < 256 ? Math.ceil(256 / longest) : Math.min(1, LARGEST / longest);
		this.canvas.width = Math.round(picture.width * scale);
		this.canvas.height = Math.round(picture.height * scale);
		this.image.src = picture.url;
		this.at = { x: this.canvas.width / 2, y: this.canvas.height / 2 };
		this.paint();
	}

	get radius() {
		return (Math.min(this.canvas.width, this.canvas.height) * this.size.value) / 200;
	}

	setErasing(erase) {
		this.erase = erase;
		this.erasing.ariaPressed = String(erase);
	}

	begin(event) {
		if (event.button) return;
		this.canvas.setPointerCapture(event.pointerId);
		this.start();
		this.move(event);
	}

	start() {
		this.stroke = { points: [], erase: this.erase };
		this.act(this.stroke);
	}

	move(event) {
		const box = this.canvas.getBoundingClientRect();
		const scale = this.canvas.width / box.width;
		for (const one of [...(event.getCoalescedEvents?.() ?? []), event]) {
			this.at = { x: (one.clientX - box.left) * scale, y: (one.clientY - box.top) * scale };
			this.extend(one.pointerType === "pen" ? 0.3 + 0.7 * one.pressure : 1);
		}
		this.showRing();
	}

	extend(pressure = 1) {
		if (!this.stroke) return;
		this.stroke.points.push({ ...this.at, radius: this.radius * pressure });
		this.segment(this.stroke, this.stroke.points.length - 1);
	}

	press(event) {
		const go = (x, y) => () => {
			this.at = { x: this.at.x + (x * this.radius) / 2, y: this.at.y + (y * this.radius) / 2 };
		};
		const keys = { ArrowLeft: go(-1, 0), ArrowRight: go(1, 0), ArrowUp: go(0, -1), ArrowDown: go(0, 1),
			" ": () => {
				this.start();
				this.extend();
				this.stroke = null;
			} };
		if (!keys[event.key] || event.altKey) return;
		event.preventDefault();
		keys[event.key]();
		this.showRing();
	}

	showRing() {
		const share = (part) => `${(100 * part) / this.canvas.width}%`;
		this.ring.hidden = false;
		this.ring.style.width = share(2 * this.radius);
		this.ring.style.left = share(this.at.x - this.radius);
		this.ring.style.top = `${(100 * (this.at.y - this.radius)) / this.canvas.height}%`;
	}

	act(act) {
		this.acts.push(act);
		this.draw(act);
	}

	undo() {
		this.acts.pop();
		this.paint();
	}

	paint() {
		this.draw({ kind: "clear" });
		for (const act of this.acts) this.draw(act);
	}

	draw(act) {
		const { width, height } = this.canvas;
		const pen = this.canvas.getContext("2d");
		pen.fillStyle = act.kind === "clear" ? "#000" : "#fff";
		pen.globalCompositeOperation = act.kind === "invert" ? "difference" : "source-over";
		if (act.mask) pen.drawImage(act.mask, 0, 0, width, height);
		else if (act.points) act.points.forEach((_, index) => this.segment(act, index));
		else pen.fillRect(0, 0, width, height);
		this.undoing.disabled = !this.acts.length;
	}

	segment({ points, erase }, index) {
		const pen = this.canvas.getContext("2d");
		const to = points[index];
		const from = points[index - 1] ?? to;
		pen.globalCompositeOperation = "source-over";
		pen.strokeStyle = erase ? "#000" : "#fff";
		pen.lineCap = "round";
		pen.lineWidth = 2 * to.radius;
		pen.beginPath();
		pen.moveTo(from.x, from.y);
		pen.lineTo(to.x, to.y + 0.01); // a line of no length would be no dot
		pen.stroke();
	}

	read() {
		return this.canvas.toDataURL();
	}
}
