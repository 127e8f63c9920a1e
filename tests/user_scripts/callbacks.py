"""A user who watches and steers a call: changing guidance, embeddings, latents; previews; stopping.

LIBRARY=diffusers python callbacks.py MODELS
"""

import importlib
import os
import sys

import torch

library = importlib.import_module(os.environ["LIBRARY"])
models = sys.argv[1]

prior = library.KandinskyV22PriorPipeline.from_pretrained(f"{models}/prior")
pipe = library.KandinskyV22Pipeline.from_pretrained(f"{models}/decoder", torch_dtype=torch.float32)
for each in (prior, pipe):
    each.set_progress_bar_config(disable=True)

embeds, negative_embeds = prior(
    "a red circle", generator=torch.Generator("cpu").manual_seed(0), num_inference_steps=3
).to_tuple()


def picture(**options):
    """Make a picture of the same seed, as an array [H, W, 3]."""
    return pipe(
        image_embeds=embeds,
        negative_image_embeds=negative_embeds,
        height=32,
        width=32,
        num_inference_steps=5,
        generator=torch.Generator("cpu").manual_seed(1),
        output_type="np",
        **options,
    ).images[0]


def dynamic_guidance(pipe, step, timestep, callback_kwargs):
    """Switch guidance off after 40% of the steps."""
    if step == int(pipe.num_timesteps * 0.4):
        assert pipe.do_classifier_free_guidance
        callback_kwargs["image_embeds"] = callback_kwargs["image_embeds"].chunk(2)[-1]
        pipe._guidance_scale = 0.0
        assert not pipe.do_classifier_free_guidance
    return callback_kwargs


def stronger_guidance(pipe, step, timestep, callback_kwargs):
    """Raise guidance a little with every step."""
    pipe._guidance_scale = pipe.guidance_scale + 0.5
    return {}


def other_embeds(pipe, step, timestep, callback_kwargs):
    """Fade to another picture in mid-loop."""
    if step == 1:
        callback_kwargs["image_embeds"] = callback_kwargs["image_embeds"] * 0.5
    return callback_kwargs


def nudge(pipe, step, timestep, callback_kwargs):
    """Move the latents towards their mean."""
    latents = callback_kwargs["latents"]
    callback_kwargs["latents"] = latents - 0.05 * latents.mean(dim=(2, 3), keepdim=True)
    return callback_kwargs


previews = []


def preview(pipe, step, timestep, callback_kwargs):
    """Show latents as colours, as the guide to callbacks does."""
    weights = torch.tensor([(60.0, -60.0, 25.0), (60, -5, 15), (-30, 10, 5), (5, 5, -45)])
    colours = torch.einsum("bchw,cr->bhwr", callback_kwargs["latents"], weights)
    previews.append(torch.sigmoid(colours / 100)[0].numpy())
    return callback_kwargs


class Enough(Exception):
    """The user has seen enough."""


def stop(pipe, step, timestep, callback_kwargs):
    """Leave the loop for good."""
    if step == 2:
        raise Enough(int(timestep))
    return callback_kwargs


old_steps = []


def old(step, timestep, latents):
    """Count the steps, as scripts from before `callback_on_step_end` do."""
    old_steps.append((step, int(timestep), float(latents.mean())))


pictures = {
    "plain": picture(),
    "dynamic guidance": picture(
        callback_on_step_end=dynamic_guidance,
        callback_on_step_end_tensor_inputs=["latents", "image_embeds"],
    ),
    "stronger guidance": picture(callback_on_step_end=stronger_guidance, guidance_scale=2.0),
    "other embeds": picture(
        callback_on_step_end=other_embeds, callback_on_step_end_tensor_inputs=["image_embeds"]
    ),
    "nudged": picture(callback_on_step_end=nudge, callback_on_step_end_tensor_inputs=["latents"]),
    "previewed": picture(callback_on_step_end=preview),
    "old": picture(callback=old, callback_steps=2),
}
pictures["last preview"] = previews[-1]
try:
    picture(callback_on_step_end=stop)
except Enough as enough:
    facts = {"stopped at": enough.args[0], "previews": len(previews), "steps": len(old_steps)}
