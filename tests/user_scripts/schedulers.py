"""A user who tries samplers: swapping them in a pipeline, and writing the loop by hand.

LIBRARY=diffusers python schedulers.py MODELS
"""

import importlib
import os
import sys

import torch

library = importlib.import_module(os.environ["LIBRARY"])
models = sys.argv[1]

prior = library.KandinskyV22PriorPipeline.from_pretrained(f"{models}/prior")
pipe = library.KandinskyV22Pipeline.from_pretrained(f"{models}/decoder")
for each in (prior, pipe):
    each.set_progress_bar_config(disable=True)

embeds, negative_embeds = prior(
    "a red circle", generator=torch.Generator("cpu").manual_seed(0), num_inference_steps=3
).to_tuple()


def picture():
    """Make a picture of the same seed, as an array [H, W, 3]."""
    return pipe(
        image_embeds=embeds,
        negative_image_embeds=negative_embeds,
        height=32,
        width=32,
        num_inference_steps=4,
        generator=torch.Generator("cpu").manual_seed(1),
        output_type="np",
    ).images[0]


def by_hand(scheduler, steps=6):
    """Denoise with a network of one line, in a loop of one's own."""
    generator = torch.Generator("cpu").manual_seed(2)
    scheduler.set_timesteps(steps, device="cpu")
    sample = torch.randn((1, 4, 8, 8), generator=generator) * scheduler.init_noise_sigma
    for t in scheduler.timesteps:
        given = scheduler.scale_model_input(sample, t)
        noise = 0.9 * given + 0.1 * torch.tanh(given)
        sample = scheduler.step(noise, t, sample).prev_sample
    return sample[0].permute(1, 2, 0).numpy() / 5


pictures, facts = {"as saved": picture()}, {}
# 2.2's decoder also says a variance with its noise, which DDPM alone drops: so the others are
# used as the pipeline's guide says, by their config.
for name in ("DDPMScheduler", "DDIMScheduler"):
    made = getattr(library, name).from_config(pipe.scheduler.config)
    facts[name] = (made.config.beta_start, made.config["num_train_timesteps"], made.order)
    pipe.scheduler = made
    pictures[name] = picture()

settings = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "linear"}
for name, more in {
    "DDIMScheduler": {"clip_sample": False},
    "DPMSolverMultistepScheduler": {"use_karras_sigmas": True},
    "EulerDiscreteScheduler": {"timestep_spacing": "trailing"},
    "UniPCMultistepScheduler": {},
    "HeunDiscreteScheduler": {},
    "LMSDiscreteScheduler": {},
    "PNDMScheduler": {"skip_prk_steps": True},
    "DPMSolverSinglestepScheduler": {},
    "DEISMultistepScheduler": {},
}.items():
    scheduler = getattr(library, name)(**settings, **more)
    pictures[f"{name} by hand"] = by_hand(scheduler)
    facts[f"{name} by hand"] = [int(t) for t in scheduler.timesteps]

scheduler = library.DDIMScheduler(**settings)
clean, noise = torch.linspace(-1, 1, 64).reshape(1, 1, 8, 8), torch.ones((1, 1, 8, 8))
noised = scheduler.add_noise(clean, noise, torch.tensor([500]))
pictures["noised"] = noised[0, 0, :, :, None].numpy()
facts["compatible"] = library.DDPMScheduler in pipe.scheduler.compatibles
