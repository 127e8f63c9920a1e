"""A user with LoRA files: loading, mixing, fusing, and taking them out again.

LIBRARY=diffusers python lora.py MODELS LORAS
"""

import importlib
import os
import sys

import torch

library = importlib.import_module(os.environ["LIBRARY"])
models, loras = sys.argv[1:3]

pipe = library.Kandinsky3Pipeline.from_pretrained(f"{models}/kandinsky3")
pipe.set_progress_bar_config(disable=True)


def picture():
    """Make a picture of the same seed, as an array [H, W, 3]."""
    return pipe(
        "a red circle",
        height=64,
        width=64,
        num_inference_steps=3,
        generator=torch.Generator("cpu").manual_seed(1),
        output_type="np",
    ).images[0]


pictures, facts = {"without": picture()}, {}
pipe.load_lora_weights(loras, weight_name="first.safetensors", adapter_name="first")
pictures["first"] = picture()
pipe.load_lora_weights(loras, weight_name="second.safetensors", adapter_name="second")
facts["loaded"] = pipe.get_list_adapters()
pipe.set_adapters(["first", "second"], adapter_weights=[0.7, 0.4])
facts["active"] = pipe.get_active_adapters()
pictures["mixed"] = picture()
pipe.set_adapters("second")
pictures["second"] = picture()
pipe.disable_lora()
pictures["disabled"] = picture()
pipe.enable_lora()
pictures["enabled"] = picture()
pipe.delete_adapters("second")
facts["left"] = pipe.get_list_adapters()
pipe.set_adapters("first")
pipe.fuse_lora(lora_scale=0.5)
facts["fused"] = pipe.num_fused_loras
pictures["fused"] = picture()
pipe.unfuse_lora()
pictures["unfused"] = picture()
pipe.unload_lora_weights()
pictures["unloaded"] = picture()
