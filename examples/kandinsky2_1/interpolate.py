"""Interpolation of a text and two pictures, as in Kandinsky 2.1's model card.

Compared with the card, only imports, model names and device lines differ;
options give sizes and steps.

    python examples/kandinsky2_1/interpolate.py --dtype float16
    python examples/kandinsky2_1/interpolate.py --prior my/prior --decoder my/decoder
"""

from __future__ import annotations

import argparse
from pathlib import Path

from kandinsky_core import KandinskyPipeline, KandinskyPriorPipeline
from kandinsky_core.utils import load_image

IMAGES = Path(__file__).parents[1] / "images"


def main() -> None:
    """Make the picture, write it, and say where it is."""
    parser = argparse.ArgumentParser(description="Interpolation of a text and two pictures.")
    parser.add_argument(
        "--prior", default="kandinsky-community/kandinsky-2-1-prior", help="folder or hub id"
    )
    parser.add_argument(
        "--decoder", default="kandinsky-community/kandinsky-2-1", help="folder or hub id"
    )
    parser.add_argument("--backend", help="jax or mindspore (default: the one installed)")
    parser.add_argument("--dtype", default="float32", help="float32, bfloat16 or float16")
    parser.add_argument("--image", default=IMAGES / "circle.png", help="a path or URL")
    parser.add_argument("--image2", default=IMAGES / "star.png", help="a path or URL")
    parser.add_argument("--prompt", default="a cat", help="a text to mix with the pictures")
    parser.add_argument("--size", type=int, default=768, help="height and width in pixels")
    parser.add_argument("--steps", type=int, default=100, help="steps of the decoder")
    parser.add_argument("--output", default="interpolate.png", help="a .png file")
    options = parser.parse_args()
    size, steps, backend = options.size, options.steps, options.backend

    pipe_prior = KandinskyPriorPipeline.from_pretrained(
        options.prior, torch_dtype=options.dtype, backend=backend
    )

    img1 = load_image(options.image)
    img2 = load_image(options.image2)

    # add all the conditions we want to interpolate, can be either text or image
    images_texts = [options.prompt, img1, img2]

    # specify the weights for each condition in images_texts
    weights = [0.3, 0.3, 0.4]

    # We can leave the prompt empty
    prompt = ""

    prior_out = pipe_prior.interpolate(images_texts, weights)

    pipe = KandinskyPipeline.from_pretrained(
        options.decoder, torch_dtype=options.dtype, backend=backend
    )

    image = pipe(prompt, **prior_out, height=size, width=size, num_inference_steps=steps).images[0]

    image.save(options.output)
    print(options.output)  # noqa: T201


if __name__ == "__main__":
    main()
