"""Image to image, as in diffusers' guide to Kandinsky 3.

Compared with the guide, only imports, model names and device lines differ; options give sizes and
steps.

    python examples/kandinsky3/image_to_image.py --image sketch.png
"""

from __future__ import annotations

import argparse
from pathlib import Path

from kandinsky_core import Kandinsky3Img2ImgPipeline
from kandinsky_core.utils import load_image

IMAGES = Path(__file__).parents[1] / "images"


def main() -> None:
    """Make the picture, write it, and say where it is."""
    parser = argparse.ArgumentParser(
        description="Image to image, as in diffusers' guide to Kandinsky 3."
    )
    parser.add_argument(
        "--model", default="kandinsky-community/kandinsky-3", help="folder or hub id"
    )
    parser.add_argument("--backend", help="jax or mindspore (default: the one installed)")
    parser.add_argument("--variant", default="fp16", help="infix of the weight files")
    parser.add_argument("--dtype", default="float16", help="float32, bfloat16 or float16")
    parser.add_argument("--image", default=IMAGES / "circle.png", help="a path or URL")
    parser.add_argument("--size", type=int, default=768, help="width in pixels")
    parser.add_argument("--steps", type=int, default=25, help="steps of the UNet")
    parser.add_argument("--output", default="image_to_image.png", help="a .png file")
    options = parser.parse_args()
    size, steps, backend = options.size, options.steps, options.backend

    pipeline = Kandinsky3Img2ImgPipeline.from_pretrained(
        options.model, variant=options.variant, torch_dtype=options.dtype, backend=backend
    )
    pipeline.enable_model_cpu_offload()

    original_image = load_image(options.image)
    image = original_image.resize((size, size * 2 // 3))

    prompt = "A fantasy landscape, Cinematic lighting"
    negative_prompt = "low quality, bad quality"

    image = pipeline(
        prompt,
        negative_prompt=negative_prompt,
        image=image,
        strength=0.75,
        num_inference_steps=steps,
    ).images[0]

    image.save(options.output)
    print(options.output)  # noqa: T201


if __name__ == "__main__":
    main()
