"""Inpainting, as in the README of ai-forever/Kandinsky-3.

Compared with the README, only the import and device lines differ; options give size and steps.

    python examples/kandinsky3/readme_inpainting.py --image photo.png
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from kandinsky_core import get_inpainting_pipeline
from kandinsky_core.utils import load_image

IMAGES = Path(__file__).parents[1] / "images"


def main() -> None:
    """Make the picture, write it, and say where it is."""
    parser = argparse.ArgumentParser(
        description="Inpainting, as in the README of ai-forever/Kandinsky-3."
    )
    parser.add_argument("--model", default="ai-forever/Kandinsky3.1", help="folder or hub id")
    parser.add_argument("--backend", help="jax or mindspore (default: the one installed)")
    parser.add_argument("--dtype", default="float16", help="of the UNet")
    parser.add_argument("--device", help="gpu:0 for example (default: the backend's own)")
    parser.add_argument("--image", default=IMAGES / "circle.png", help="a path or URL")
    parser.add_argument("--size", type=int, default=1024, help="height and width in pixels")
    parser.add_argument("--steps", type=int, default=50, help="steps of the UNet")
    parser.add_argument("--output", default="inpainting.png", help="a .png file")
    options = parser.parse_args()
    size, steps, backend = options.size, options.steps, options.backend

    device_map = options.device
    dtype_map = {
        "unet": options.dtype,
        "text_encoder": "float16",
        "movq": "float32",
    }

    inp_pipe = get_inpainting_pipeline(device_map, dtype_map, model=options.model, backend=backend)

    image = load_image(options.image).resize((size, size))
    mask = np.zeros((size, size), np.float32)  # 1 where the picture is repainted
    mask[: size // 2] = 1
    images = inp_pipe("A cute corgi lives in a house made out of sushi.", image, mask, steps=steps)
    image = images[0]

    image.save(options.output)
    print(options.output)  # noqa: T201


if __name__ == "__main__":
    main()
