"""A user with LoRA files of a UNet: loading, weighing, fusing, and taking them out again.

Of diffusers' pipelines that load a LoRA, Kandinsky 3's fails; so this is the way there.

LIBRARY=diffusers python lora.py MODELS LORAS
"""

import importlib
import os
import sys

import torch

library = importlib.import_module(os.environ["LIBRARY"])
models, loras = sys.argv[1:3]

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
        num_inference_steps=3,
        generator=torch.Generator("cpu").manual_seed(1),
        output_type="np",
    ).images[0]


def load(name):
    """Load a file of the folder under its own name."""
    pipe.unet.load_lora_adapter(
        loras, prefix=None, weight_name=f"{name}.safetensors", adapter_name=name
    )


pictures, facts = {"without": picture()}, {}
load("first")
pictures["first"] = picture()
pipe.unet.set_adapters(["first"], [0.7])
facts["active"] = pipe.unet.active_adapters()
pictures["weaker"] = picture()
pipe.unet.disable_lora()
pictures["disabled"] = picture()
pipe.unet.enable_lora()
pictures["enabled"] = picture()
pipe.unet.fuse_lora(lora_scale=0.5)
pictures["fused"] = picture()
pipe.unet.unfuse_lora()
pictures["unfused"] = picture()
pipe.unet.unload_lora()
pictures["unloaded"] = picture()
