// What makes a picture again, in one form: of a job, and of a picture's metadata.

import { call } from "./api.js";
import { OPTIONS } from "./words.js";

/** The settings of a job's picture, with the pictures that it started from. */
export async function recipeOfJob(job, seed) {
  const { scheduler, upscale, ...options } = job.settings;
  const pictures = {};
  for (const [name, count] of Object.entries(job.inputs ?? {})) {
    pictures[name] = await Promise.all(Array.from({ length: count }, async (_, index) =>
      (await call(`v1/jobs/${job.id}/inputs/${name}?index=${index}`)).blob()));
  }
  const { task, model, prompt, negative_prompt, size, mix, output_format } = job;
  return { task, model, prompt, negative_prompt, size, seed, n: 1, options, scheduler, upscale, mix,
    output_format, pictures };
}

/** The settings in a picture's metadata. Anybody can write them, so each is checked. */
export function recipeOfMetadata(found) {
  const text = (value) => (typeof value === "string" ? value : null);
  const whole = (value) => (Number.isSafeInteger(value) && value >= 0 ? value : null);
  const options = {};
  for (const name of Object.keys(OPTIONS)) {
    if (["number", "boolean"].includes(typeof found[name])) options[name] = found[name];
  }
  const guessed = "mask_image" in found ? "inpaint" : "strength" in found ? "img2img" : "text2image";
  const [width, height] = [whole(found.width), whole(found.height)];
  return { task: text(found.task) ?? guessed, model: text(found.model), prompt: text(found.prompt) ?? "",
    negative_prompt: text(found.negative_prompt), size: width && height ? `${width}x${height}` : null,
    seed: whole(found.seed), n: 1, options, scheduler: text(found.scheduler_name),
    upscale: whole(found.upscale) ?? whole(found.scale), mix: [], pictures: {} };
}
