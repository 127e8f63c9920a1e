"""Image to image by prior and decoder, as in diffusers' guide to Kandinsky.

Compared with the guide, only imports, model names and device lines differ;
options give sizes and steps.

    python examples/guide/image_to_image.py
    python examples/guide/image_to_image.py \\
        --prior kandinsky-community/kandinsky-2-2-prior \\
        --decoder kandinsky-community/kandinsky-2-2-decoder \\
        --dtype float16 --size 768 --steps 100
"""

from __future__ import annotations

import argparse
from pathlib import Path

from kandinsky_core import KandinskyPriorPipeline, KandinskyV22Img2ImgPipeline
from kandinsky_core.utils import load_image, make_image_grid

IMAGES = Path(__file__).parents[1] / "images"


def main() -> None:
    """Make the picture, write it, and say where it is."""
    parser = argparse.ArgumentParser(description="Image to image by prior and decoder.")
    parser.add_argument("--prior", default="shapes", help="folder or hub id")
    parser.add_argument("--decoder", default="shapes", help="folder or hub id")
    parser.add_argument("--backend", help="jax or mindspore (default: the one installed)")
    parser.add_argument("--dtype", default="float32", help="float32, bfloat16 or float16")
    parser.add_argument("--image", default=IMAGES / "circle.png", help="a path or URL")
    parser.add_argument(
        "--prompt", default="a large green circle on a blue background", help="the text to draw"
    )
    parser.add_argument("--size", type=int, default=64, help="height and width in pixels")
    parser.add_argument("--steps", type=int, default=25, help="steps of the decoder")
    parser.add_argument("--output", default="image_to_image.png", help="a .png file")
    options = parser.parse_args()
    size, steps, backend = options.size, options.steps, options.backend

    prior_pipeline = KandinskyPriorPipeline.from_pretrained(
        options.prior, torch_dtype=options.dtype, backend=backend
    )
    pipeline = KandinskyV22Img2ImgPipeline.from_pretrained(
        options.decoder, torch_dtype=options.dtype, backend=backend
    )

    original_image = load_image(options.image)
    original_image = original_image.resize((size, size * 2 // 3))

    prompt = options.prompt
    negative_prompt = "low quality, bad quality"

    image_embeds, negative_image_embeds = prior_pipeline(prompt, negative_prompt).to_tuple()

    image = pipeline(
        image=original_image,
        image_embeds=image_embeds,
        negative_image_embeds=negative_image_embeds,
        height=size,
        width=size,
        strength=0.3,
        num_inference_steps=steps,
    ).images[0]
    grid = make_image_grid(
        [original_image.resize((size, size)), image.resize((size, size))], rows=1, cols=2
    )

    grid.save(options.output)
    print(options.output)  # noqa: T201


if __name__ == "__main__":
    main()
