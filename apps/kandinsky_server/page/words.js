export const TASKS = {
	text2image: ["Text", "A picture of what you write."],
	img2img: ["Picture", "A picture, changed after your words."],
	inpaint: ["Inpaint", "A part of a picture, made anew."],
	interpolate: ["Mix", "Texts and pictures in one, each by its weight."],
	controlnet: ["Hint", "A picture that keeps the depth or outline of your hint."],
	controlnet_img2img: ["Hint, picture", "A picture, changed after words and a hint."],
	controlnet_inpaint: ["Hint, inpaint", "A part made anew along a hint."],
	upscale: ["Enlarge", "The same picture with more pixels."],
};

export const OPTIONS = {
	num_inference_steps: "Steps",
	guidance_scale: "Guidance",
	prior_num_inference_steps: "Prior steps",
	prior_guidance_scale: "Prior guidance",
	strength: "Change",
	paste_back: "Keep all other pixels",
	controlnet_conditioning_scale: "Weight of the hint",
	ip_scale: "Weight of pictures",
};

export const optionName = (name) => OPTIONS[name] ?? name.replace("lora.", "Adapter ").replaceAll("_", " ");
export const taskName = (task) => TASKS[task]?.[0] ?? task;
export const sizeName = (size) => size.replace("x", " × ");

export function stateOf(job) {
	if (job.status === "failed") return job.error.message;
	const words = { completed: "Done", cancelled: "Cancelled",
		compiling: "Preparing this size: the first picture of a size takes longer" };
	if (words[job.status]) return words[job.status];
	const number = job.seeds.length;
	const which = number > 1 ? `Picture ${Math.min(number, job.images.length + 1)} of ${number}, step` : "Step";
	const running = job.total_steps ? `${which} ${job.step} of ${job.total_steps}` : "Beginning";
	return `${job.status === "queued" ? place(job.queue_position) : running}${left(job.eta_seconds)}`;
}

const place = (before) => (before ? `Waiting, ${before} before it in the queue` : "Next in the queue");

function left(seconds) {
	if (!seconds) return "";
	return `, about ${seconds < 90 ? `${Math.ceil(seconds)} s` : `${Math.round(seconds / 60)} min`} left`;
}
