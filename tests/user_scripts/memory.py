"""A user with little memory: offloading, slicing, dtypes, sharing networks, saving and loading.

LIBRARY=diffusers python memory.py MODELS FOLDER
"""

import importlib
import os
import sys
from pathlib import Path

import torch

library = importlib.import_module(os.environ["LIBRARY"])
models, folder = sys.argv[1:3]

prior = library.KandinskyV22PriorPipeline.from_pretrained(
    f"{models}/prior", torch_dtype=torch.float32, use_safetensors=True, low_cpu_mem_usage=True
)
pipe = library.KandinskyV22Pipeline.from_pretrained(f"{models}/decoder", torch_dtype="auto")
prior.set_progress_bar_config(disable=True)
pipe.set_progress_bar_config(disable=True)
pipe.to("cpu")
embeds, negative_embeds = prior(
    "a red circle", generator=torch.Generator("cpu").manual_seed(0), num_inference_steps=3
).to_tuple()


def picture(made, **options):
    """Make a picture of the same seed, as an array [H, W, 3]."""
    made.set_progress_bar_config(disable=True)
    return made(
        image_embeds=embeds,
        negative_image_embeds=negative_embeds,
        height=32,
        width=32,
        num_inference_steps=4,
        generator=torch.Generator("cpu").manual_seed(1),
        output_type="np",
        **options,
    ).images[0]


pictures, facts = {"plain": picture(pipe)}, {}
pipe.enable_attention_slicing()
pipe.unet.to(memory_format=torch.channels_last)
pictures["sliced"] = picture(pipe)
pipe.disable_attention_slicing()

second = library.KandinskyV22Img2ImgPipeline.from_pipe(pipe)
facts["shared"] = second.unet is pipe.unet and second.movq is pipe.movq
facts["components"] = sorted(second.components)
start = torch.linspace(-1, 1, 3 * 32 * 32).reshape(1, 3, 32, 32)
pictures["from a picture"] = picture(second, image=start, strength=0.5)

pipe.save_pretrained(folder, safe_serialization=True)
facts["saved"] = sorted(path.name for path in Path(folder).iterdir() if path.is_dir())
again = library.KandinskyV22Pipeline.from_pretrained(folder)
pictures["saved and loaded"] = picture(again)
named = library.DiffusionPipeline.from_pretrained(folder, torch_dtype=torch.float32)
facts["named"] = type(named).__name__
unet = library.UNet2DConditionModel.from_pretrained(folder, subfolder="unet")
facts["parameters"] = unet.num_parameters()
made = library.KandinskyV22Pipeline.from_pretrained(folder, unet=unet)
facts["same unet"] = made.unet is unet
pictures["made of parts"] = picture(made)
facts["dtype"] = str(made.dtype).removeprefix("torch.")
facts["device"] = made.device.type
made.maybe_free_model_hooks()
made.remove_all_hooks()
made.reset_device_map()
pictures["without hooks"] = picture(made)
