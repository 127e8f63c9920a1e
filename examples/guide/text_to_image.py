"""Text to image by prior and decoder, as in diffusers' guide to Kandinsky.

Compared with the guide, only imports, model names and device lines differ;
options give sizes and steps.

    python examples/guide/text_to_image.py
    python examples/guide/text_to_image.py \\
        --prior kandinsky-community/kandinsky-2-2-prior \\
        --decoder kandinsky-community/kandinsky-2-2-decoder \\
        --dtype float16 --size 768 --steps 100
"""

from __future__ import annotations

import argparse

from kandinsky_core import KandinskyV22Pipeline, KandinskyV22PriorPipeline


def main() -> None:
    """Make the picture, write it, and say where it is."""
    parser = argparse.ArgumentParser(description="Text to image by prior and decoder.")
    parser.add_argument("--prior", default="shapes", help="folder or hub id")
    parser.add_argument("--decoder", default="shapes", help="folder or hub id")
    parser.add_argument("--backend", help="jax or mindspore (default: the one installed)")
    parser.add_argument("--dtype", default="float32", help="float32, bfloat16 or float16")
    parser.add_argument(
        "--prompt", default="a large red circle on a blue background", help="the text to draw"
    )
    parser.add_argument("--size", type=int, default=64, help="height and width in pixels")
    parser.add_argument("--steps", type=int, default=25, help="steps of the decoder")
    parser.add_argument("--output", default="text_to_image.png", help="a .png file")
    options = parser.parse_args()
    size, steps, backend = options.size, options.steps, options.backend

    prior_pipeline = KandinskyV22PriorPipeline.from_pretrained(
        options.prior, torch_dtype=options.dtype, backend=backend
    )
    pipeline = KandinskyV22Pipeline.from_pretrained(
        options.decoder, torch_dtype=options.dtype, backend=backend
    )

    prompt = options.prompt
    image_embeds, negative_image_embeds = prior_pipeline(prompt, guidance_scale=1.0).to_tuple()

    image = pipeline(
        image_embeds=image_embeds,
        negative_image_embeds=negative_image_embeds,
        height=size,
        width=size,
        num_inference_steps=steps,
    ).images[0]

    image.save(options.output)
    print(options.output)  # noqa: T201


if __name__ == "__main__":
    main()
