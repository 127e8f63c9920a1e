"""Image to image in one call, as in diffusers' guide to Kandinsky.

Compared with the guide, only imports, model names and device lines differ;
options give sizes and steps.

    python examples/guide/image_to_image_combined.py
    python examples/guide/image_to_image_combined.py \\
        --model kandinsky-community/kandinsky-2-2-decoder \\
        --dtype float16 --size 768 --steps 100
"""

from __future__ import annotations

import argparse
from pathlib import Path

from kandinsky_core import AutoPipelineForImage2Image
from kandinsky_core.utils import load_image, make_image_grid

IMAGES = Path(__file__).parents[1] / "images"


def main() -> None:
    """Make the picture, write it, and say where it is."""
    parser = argparse.ArgumentParser(description="Image to image in one call.")
    parser.add_argument("--model", default="shapes", help="folder or hub id")
    parser.add_argument("--backend", help="jax or mindspore (default: the one installed)")
    parser.add_argument("--dtype", default="float32", help="float32, bfloat16 or float16")
    parser.add_argument("--image", default=IMAGES / "circle.png", help="a path or URL")
    parser.add_argument(
        "--prompt", default="a large green circle on a blue background", help="the text to draw"
    )
    parser.add_argument("--size", type=int, default=64, help="height and width in pixels")
    parser.add_argument("--steps", type=int, default=25, help="steps of the decoder")
    parser.add_argument("--output", default="image_to_image_combined.png", help="a .png file")
    options = parser.parse_args()
    size, steps, backend = options.size, options.steps, options.backend

    pipeline = AutoPipelineForImage2Image.from_pretrained(
        options.model, torch_dtype=options.dtype, backend=backend
    )
    pipeline.enable_model_cpu_offload()

    prompt = options.prompt
    negative_prompt = "low quality, bad quality"

    original_image = load_image(options.image)

    original_image.thumbnail((size, size))

    image = pipeline(
        prompt=prompt,
        negative_prompt=negative_prompt,
        image=original_image,
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
