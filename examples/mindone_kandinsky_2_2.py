"""Makes a picture with the calls that mindone's documentation shows for Kandinsky 2.2.

Compared with mindone, only the import and the models' names differ. The script takes the backend
that is installed; where both are, `KANDINSKY_BACKEND=mindspore` or `jax` chooses one.

    python examples/mindone_kandinsky_2_2.py
    python examples/mindone_kandinsky_2_2.py --prior kandinsky-community/kandinsky-2-2-prior \\
        --decoder kandinsky-community/kandinsky-2-2-decoder --size 768 --steps 100
"""

from __future__ import annotations

import argparse

from kandinsky_core import KandinskyV22Pipeline, KandinskyV22PriorPipeline

try:
    import mindspore as ms

    float16 = ms.float16
except ImportError:  # MindSpore is missing; a dtype's name serves too
    float16 = "float16"


def main() -> None:
    """Make the picture, write it, and say where it is."""
    parser = argparse.ArgumentParser(description="A picture with the calls of mindone's page.")
    parser.add_argument("--prior", default="shapes", help="folder or hub id")
    parser.add_argument("--decoder", default="shapes", help="folder or hub id")
    parser.add_argument("--size", type=int, default=64, help="height and width in pixels")
    parser.add_argument("--steps", type=int, default=25, help="steps of the decoder")
    parser.add_argument("--output", default="mindone_kandinsky_2_2.png", help="a .png file")
    options = parser.parse_args()
    size, steps = options.size, options.steps

    # The page spells the first keyword `mindspore`, the second `mindspore_dtype`; both work.
    prior_pipeline = KandinskyV22PriorPipeline.from_pretrained(options.prior, mindspore=float16)
    pipeline = KandinskyV22Pipeline.from_pretrained(options.decoder, mindspore_dtype=float16)

    prompt = "a large red circle on a blue background"
    image_embeds, negative_image_embeds = prior_pipeline(prompt, guidance_scale=1.0)
    image = pipeline(
        image_embeds=image_embeds,
        negative_image_embeds=negative_image_embeds,
        height=size,
        width=size,
        num_inference_steps=steps,
    )[0][0]

    image.save(options.output)
    print(options.output)  # noqa: T201


if __name__ == "__main__":
    main()
