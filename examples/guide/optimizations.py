"""Text to image with the calls that diffusers' guide shows for speed and memory.

Most of them tune PyTorch, so they change nothing here; `torch.compile` returns the network itself.

    python examples/guide/optimizations.py
    python examples/guide/optimizations.py \\
        --model kandinsky-community/kandinsky-2-2-decoder --dtype float16 --size 768 --steps 100
"""

from __future__ import annotations

import argparse

import torch

from kandinsky_core import AutoPipelineForText2Image, DDPMScheduler
from kandinsky_core.models.attention_processor import AttnAddedKVProcessor2_0


def main() -> None:
    """Make the picture, write it, and say where it is."""
    parser = argparse.ArgumentParser(description="Text to image, tuned as in diffusers' guide.")
    parser.add_argument("--model", default="shapes", help="folder or hub id of a decoder")
    parser.add_argument("--backend", help="jax or mindspore (default: the one installed)")
    parser.add_argument("--dtype", default="float32", help="float32, bfloat16 or float16")
    parser.add_argument(
        "--prompt", default="a large red circle on a blue background", help="the text to draw"
    )
    parser.add_argument("--size", type=int, default=64, help="height and width in pixels")
    parser.add_argument("--steps", type=int, default=25, help="steps of the decoder")
    parser.add_argument("--output", default="optimizations.png", help="a .png file")
    options = parser.parse_args()
    size, steps = options.size, options.steps

    scheduler = DDPMScheduler.from_pretrained(options.model, subfolder="scheduler")
    pipe = AutoPipelineForText2Image.from_pretrained(
        options.model, scheduler=scheduler, torch_dtype=options.dtype, backend=options.backend
    )
    pipe.enable_xformers_memory_efficient_attention()
    pipe.unet.to(memory_format=torch.channels_last)
    pipe.unet = torch.compile(pipe.unet, mode="reduce-overhead", fullgraph=True)
    pipe.unet.set_attn_processor(AttnAddedKVProcessor2_0())
    pipe.enable_model_cpu_offload()

    image = pipe(prompt=options.prompt, height=size, width=size, num_inference_steps=steps)
    image.images[0].save(options.output)
    print(options.output)  # noqa: T201


if __name__ == "__main__":
    main()
