// What makes a picture again, in one form: of a job, and of a picture's metadata.

import { call } from "./api.js";
import { OPTIONS } from "./words.js";

export async function recipeOfJob(job, seed) {
	const { scheduler, upscale, ...options } = job.settings;
	const pictures = {};
	for (const [name, count] of Object.entries(job.inputs)) {
		pictures[name] = [];
		for (let index = 0; index < count; index++) {
			pictures[name].push(await (await call(`v1/jobs/${job.id}/inputs/${name}?index=${index}`)).blob());
		}
	}
	return { ...job, seed, pictures, options: { ...options, scheduler, upscale: upscale && String(upscale),
		output_format: job.output_format, ...adapters(Object.entries(job.lora)), ip_scale: job.ip_scale },
		shares: job.ip_weights };
}

const adapters = (pairs) => Object.fromEntries(pairs.map(([name, scale]) => [`lora.${name}`, Number(scale)]));

// Anybody can write metadata, so types are checked.
export function recipeOfMetadata(found) {
	const text = (value) => (typeof value === "string" ? value : "");
	const options = { ...adapters(text(found.lora).split(",").map((one) => one.split(":"))), scheduler: text(found.scheduler_name), upscale: String(found.upscale ?? found.scale) };
	for (const name of Object.keys(OPTIONS)) {
		if (["number", "boolean"].includes(typeof found[name])) options[name] = found[name];
	}
	const guessed = "strength" in found ? "img2img" : "text2image";
	const size = `${found.width}x${found.height}`;
	return { task: text(found.task) || guessed, model: text(found.model), prompt: text(found.prompt),
		negative_prompt: text(found.negative_prompt), size: /^\d+x\d+$/.test(size) ? size : "",
		seed: Number.isSafeInteger(found.seed) ? found.seed : null, options, pictures: {},
		mix: [found.mix].flat().filter((one) => typeof one?.text === "string" && Number.isFinite(one.weight)) };
}
