"""Text to image in one call, as in diffusers' guide to Kandinsky 2.1.

Compared with the guide, only imports, model names and device lines differ;
options give sizes and steps.

    python examples/kandinsky2_1/text_to_image_combined.py --dtype float16
    python examples/kandinsky2_1/text_to_image_combined.py --model my/decoder --prior my/prior
"""

from __future__ import annotations

import argparse

from kandinsky_core import AutoPipelineForText2Image


def main() -> None:
    """Make the picture, write it, and say where it is."""
    parser = argparse.ArgumentParser(description="Text to image in one call.")
    parser.add_argument(
        "--model", default="kandinsky-community/kandinsky-2-1", help="folder or hub id"
    )
    parser.add_argument("--prior", help="folder or hub id, where the model names none")
    parser.add_argument("--backend", help="jax or mindspore (default: the one installed)")
    parser.add_argument("--dtype", default="float32", help="float32, bfloat16 or float16")
    parser.add_argument(
        "--prompt",
        default="A alien cheeseburger creature eating itself, claymation, moody lighting",
        help="the text to draw, in any language",
    )
    parser.add_argument("--size", type=int, default=768, help="height and width in pixels")
    parser.add_argument("--steps", type=int, default=100, help="steps of the decoder")
    parser.add_argument("--output", default="text_to_image_combined.png", help="a .png file")
    options = parser.parse_args()
    size, steps, backend = options.size, options.steps, options.backend

    pipeline = AutoPipelineForText2Image.from_pretrained(
        options.model, prior=options.prior, torch_dtype=options.dtype, backend=backend
    )
    pipeline.enable_model_cpu_offload()

    prompt = options.prompt
    negative_prompt = "low quality, bad quality"

    image = pipeline(
        prompt=prompt,
        negative_prompt=negative_prompt,
        prior_guidance_scale=1.0,
        guidance_scale=4.0,
        height=size,
        width=size,
        num_inference_steps=steps,
    ).images[0]

    image.save(options.output)
    print(options.output)  # noqa: T201


if __name__ == "__main__":
    main()
