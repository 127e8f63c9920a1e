// What the page calls things.

export const TASKS = {
  text2image: ["Text", "A picture of what you write."],
  img2img: ["Picture", "A picture changed after your words."],
  inpaint: ["Inpaint", "Paint over what should be made anew."],
  interpolate: ["Mix", "Texts and pictures melt into one, each by its weight."],
  controlnet: ["Hint", "A picture that keeps the depth or outline of your hint."],
  upscale: ["Enlarge", "The same picture with more pixels."],
};

export const OPTIONS = {
  num_inference_steps: "Steps",
  guidance_scale: "Guidance",
  prior_num_inference_steps: "Prior steps",
  prior_guidance_scale: "Prior guidance",
  strength: "Change",
  paste_back: "Keep all other pixels exactly",
  controlnet_conditioning_scale: "Weight of the hint",
};

export const optionName = (name) => OPTIONS[name] ?? name.replaceAll("_", " ");
export const taskName = (task) => TASKS[task]?.[0] ?? task;
export const sizeName = (size) => size.replace("x", " × ");

export function seconds(count) {
  if (count < 1.5) return "about a second";
  if (count < 90) return `about ${Math.round(count)} s`;
  return `about ${Math.round(count / 60)} min`;
}

/** A job's state as a sentence. */
export function stateOf(job) {
  const left = job.eta_seconds ? `, ${seconds(job.eta_seconds)} left` : "";
  const number = job.seeds.length;
  const which = number > 1 ? `Picture ${Math.min(number, job.images.length + 1)} of ${number}, ` : "";
  switch (job.status) {
    case "queued": return `${place(job.queue_position)}${left}`;
    case "compiling": return "Preparing this size. The first picture of a size takes longer.";
    case "running":
      if (!job.total_steps) return `${which || "Beginning"}${which ? "beginning" : ""}${left}`;
      return `${which}${which ? "step" : "Step"} ${job.step} of ${job.total_steps}${left}`;
    case "completed": return "Done";
    case "cancelled": return "Cancelled";
    default: return job.error?.message ?? "Failed";
  }
}

function place(before) {
  if (before === null) return "Waiting";
  if (before === 0) return "Next in the queue";
  return before === 1 ? "One job is before it in the queue" : `${before} jobs are before it in the queue`;
}
