"""Inpainting in one call, as in diffusers' guide to Kandinsky.

Compared with the guide, only imports, model names and device lines differ;
options give sizes and steps.

    python examples/guide/inpainting_combined.py
    python examples/guide/inpainting_combined.py \\
        --model kandinsky-community/kandinsky-2-2-decoder-inpaint \\
        --dtype float16 --size 768 --steps 100
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from kandinsky_core import AutoPipelineForInpainting
from kandinsky_core.utils import load_image, make_image_grid

IMAGES = Path(__file__).parents[1] / "images"


def main() -> None:
    """Make the picture, write it, and say where it is."""
    parser = argparse.ArgumentParser(description="Inpainting in one call.")
    parser.add_argument("--model", default="shapes", help="folder or hub id")
    parser.add_argument("--backend", help="jax or mindspore (default: the one installed)")
    parser.add_argument("--dtype", default="float32", help="float32, bfloat16 or float16")
    parser.add_argument("--image", default=IMAGES / "circle.png", help="a path or URL")
    parser.add_argument(
        "--prompt", default="a small green square on a blue background", help="the text to draw"
    )
    parser.add_argument("--size", type=int, default=64, help="height and width in pixels")
    parser.add_argument("--steps", type=int, default=25, help="steps of the decoder")
    parser.add_argument("--output", default="inpainting_combined.png", help="a .png file")
    options = parser.parse_args()
    size, steps, backend = options.size, options.steps, options.backend

    pipe = AutoPipelineForInpainting.from_pretrained(
        options.model, torch_dtype=options.dtype, backend=backend
    )
    pipe.enable_model_cpu_offload()

    init_image = load_image(options.image)
    mask = np.zeros((size, size), dtype=np.float32)
    # mask out an area at the top
    mask[: size // 3, size // 3 : -size // 3] = 1
    prompt = options.prompt

    output_image = pipe(
        prompt=prompt, image=init_image, mask_image=mask, num_inference_steps=steps
    ).images[0]
    mask = Image.fromarray((mask * 255).astype("uint8"))
    grid = make_image_grid([init_image, mask, output_image], rows=1, cols=3)

    grid.save(options.output)
    print(options.output)  # noqa: T201


if __name__ == "__main__":
    main()
