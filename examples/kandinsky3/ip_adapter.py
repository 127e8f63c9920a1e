"""Pictures beside the prompt, by the calls of the card of ai-forever/kandinsky3_ip_adapter.

It makes variations of a picture, mixes two, and mixes text and picture. Options give sizes and
steps.

    python examples/kandinsky3/ip_adapter.py --image cat.png --second fox.png
"""

from __future__ import annotations

import argparse
from pathlib import Path

from kandinsky_core import KandinskyV3PipelineIpAdapter
from kandinsky_core.utils import load_image

IMAGES = Path(__file__).parents[1] / "images"


def main() -> None:
    """Make three pictures, write them, and say where they are."""
    parser = argparse.ArgumentParser(
        description="Pictures beside the prompt, by the calls of the card of the IP-Adapter."
    )
    parser.add_argument(
        "--model", default="ai-forever/kandinsky3_ip_adapter", help="folder or hub id"
    )
    parser.add_argument("--backend", help="jax or mindspore (default: the one installed)")
    parser.add_argument("--dtype", default="float16", help="float32, bfloat16 or float16")
    parser.add_argument("--image", default=IMAGES / "circle.png", help="a path or URL")
    parser.add_argument("--second", default=IMAGES / "star.png", help="another picture")
    parser.add_argument("--size", type=int, default=1024, help="height and width in pixels")
    parser.add_argument("--steps", type=int, default=50, help="steps of the UNet")
    parser.add_argument("--output", default="ip_adapter.png", help="a .png file")
    options = parser.parse_args()
    size, steps = options.size, options.steps

    pipe = KandinskyV3PipelineIpAdapter.from_pretrained(
        options.model, torch_dtype=options.dtype, backend=options.backend
    )
    first, second = load_image(options.image), load_image(options.second)
    shared = {
        "negative_prompt": "",
        "num_inference_steps": steps,
        "guidance_scale": 7.5,
        "cut_context": 1,
        "width": size,
        "height": size,
    }

    variation = pipe("4k caption", img=[first], weights=[1], **shared).images[0]
    mixed = pipe("4k photo", img=[first, second], weights=[0.5, 0.5], **shared).images[0]
    guided = pipe("a red star", img=[first], weights=[1], img_weight=0.5, **shared).images[0]

    output = Path(options.output)
    for name, image in (("", variation), ("-mixed", mixed), ("-text", guided)):
        path = output.with_stem(output.stem + name)
        image.save(path)
        print(path)  # noqa: T201


if __name__ == "__main__":
    main()
