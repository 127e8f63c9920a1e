"""Text to image, as in diffusers' guide to Kandinsky 3.

Compared with the guide, only imports, model names and device lines differ; options give sizes and
steps.

    python examples/kandinsky3/text_to_image.py
    python examples/kandinsky3/text_to_image.py --model my/kandinsky-3 --dtype bfloat16
"""

from __future__ import annotations

import argparse

from kandinsky_core import Kandinsky3Pipeline


def main() -> None:
    """Make the picture, write it, and say where it is."""
    parser = argparse.ArgumentParser(
        description="Text to image, as in diffusers' guide to Kandinsky 3."
    )
    parser.add_argument(
        "--model", default="kandinsky-community/kandinsky-3", help="folder or hub id"
    )
    parser.add_argument("--backend", help="jax or mindspore (default: the one installed)")
    parser.add_argument("--variant", default="fp16", help="infix of the weight files")
    parser.add_argument("--dtype", default="float16", help="float32, bfloat16 or float16")
    parser.add_argument("--size", type=int, default=1024, help="height and width in pixels")
    parser.add_argument("--steps", type=int, default=25, help="steps of the UNet")
    parser.add_argument("--output", default="text_to_image.png", help="a .png file")
    options = parser.parse_args()
    size, steps, backend = options.size, options.steps, options.backend

    pipeline = Kandinsky3Pipeline.from_pretrained(
        options.model, variant=options.variant, torch_dtype=options.dtype, backend=backend
    )
    pipeline.enable_model_cpu_offload()

    prompt = "A alien cheeseburger creature eating itself, claymation, cinematic, moody lighting"
    image = pipeline(prompt, height=size, width=size, num_inference_steps=steps).images[0]

    image.save(options.output)
    print(options.output)  # noqa: T201


if __name__ == "__main__":
    main()
