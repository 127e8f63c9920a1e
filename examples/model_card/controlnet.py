"""Text to image with a depth map, as in Kandinsky 2.2's model card.

Compared with the card, only imports, model names and device lines differ;
options give sizes and steps.

    python examples/model_card/controlnet.py
    python examples/model_card/controlnet.py \\
        --prior kandinsky-community/kandinsky-2-2-prior \\
        --decoder kandinsky-community/kandinsky-2-2-controlnet-depth \\
        --dtype float16 --size 768 --steps 100
"""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image

from kandinsky_core import (
    Generator,
    KandinskyV22ControlnetPipeline,
    KandinskyV22PriorPipeline,
    depth_hint,
)
from kandinsky_core.utils import load_image

IMAGES = Path(__file__).parents[1] / "images"


def luminance(image: Image.Image) -> dict[str, Image.Image]:
    """Stand in for transformers' estimator: bright pixels are near, as in a silhouette."""
    return {"depth": image.convert("L")}


def main() -> None:
    """Make the picture, write it, and say where it is."""
    parser = argparse.ArgumentParser(description="Text to image with a depth map.")
    parser.add_argument("--prior", default="shapes", help="folder or hub id")
    parser.add_argument("--decoder", default="shapes", help="folder or hub id")
    parser.add_argument("--backend", help="jax or mindspore (default: the one installed)")
    parser.add_argument("--dtype", default="float32", help="float32, bfloat16 or float16")
    parser.add_argument("--image", default=IMAGES / "silhouette.png", help="a path or URL")
    parser.add_argument(
        "--estimator", help="a model of depth-estimation, Intel/dpt-large for example"
    )
    parser.add_argument(
        "--prompt", default="a green star on a white background", help="the text to draw"
    )
    parser.add_argument("--size", type=int, default=64, help="height and width in pixels")
    parser.add_argument("--steps", type=int, default=25, help="steps of the decoder")
    parser.add_argument("--output", default="controlnet.png", help="a .png file")
    options = parser.parse_args()
    size, steps, backend = options.size, options.steps, options.backend

    img = load_image(options.image).resize((size, size))

    # the card's `make_hint`, which needs PyTorch, and transformers' pipeline("depth-estimation")
    hint = depth_hint(img, options.estimator or luminance)

    pipe_prior = KandinskyV22PriorPipeline.from_pretrained(
        options.prior, torch_dtype=options.dtype, backend=backend
    )
    pipe = KandinskyV22ControlnetPipeline.from_pretrained(
        options.decoder, torch_dtype=options.dtype, backend=backend
    )

    prompt = options.prompt
    negative_prior_prompt = "lowres, text, error, cropped, worst quality, low quality"

    generator = Generator(device="cpu").manual_seed(43)
    image_emb, zero_image_emb = pipe_prior(
        prompt=prompt, negative_prompt=negative_prior_prompt, generator=generator
    ).to_tuple()

    images = pipe(
        image_embeds=image_emb,
        negative_image_embeds=zero_image_emb,
        hint=hint,
        num_inference_steps=steps,
        generator=generator,
        height=size,
        width=size,
    ).images

    images[0].save(options.output)
    print(options.output)  # noqa: T201


if __name__ == "__main__":
    main()
