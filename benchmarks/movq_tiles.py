"""Compares MoVQ in tiles with MoVQ in one piece: its memory, and how far the pictures differ.

    python -m benchmarks.movq_tiles

The memory is XLA's plan for decoding in one piece with the full-size MoVQ of 2.2, which is compiled
and not run. The pictures come from `shapes`, sixteen in one, and are decoded whole and in tiles.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import numpy as np

from benchmarks.estimates import Abstract, array
from kandinsky_core import AutoPipelineForText2Image

PROMPTS = ("a red circle on a blue background", "a yellow star on a green background")
ACROSS = 4  # pictures to a row


def planned_gib(size: int) -> float:
    """Return the GiB that decoding one picture takes besides the weights."""
    side = size // 8
    compiled = Abstract("decoder/movq").lower("decode", array(1, side, side, 4)).compile()
    return float(compiled.memory_analysis().temp_size_in_bytes / 2**30)


def pictures(pipe: Any, steps: int) -> Any:
    """Return sixteen pictures of 64 pixels as one of 256: [1,3,256,256] in [-1,1]."""
    count = ACROSS**2 // len(PROMPTS)
    seeds = list(range(count)) * len(PROMPTS)
    request = {"num_images_per_prompt": count, "num_inference_steps": steps, "output_type": "np"}
    images = pipe(list(PROMPTS), seed=seeds, **request).images
    side = images.shape[1]
    grid = images.reshape(ACROSS, ACROSS, side, side, 3).transpose(4, 0, 2, 1, 3)
    return (grid.reshape(1, 3, ACROSS * side, ACROSS * side) * 2 - 1).astype(np.float32)


def main() -> None:
    """Print the planned memory and the differences of the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sizes", nargs="+", type=int, default=[512, 1024, 2048], metavar="PX")
    parser.add_argument("--steps", type=int, default=20, help="of each picture (20)")
    options = parser.parse_args()
    for size in options.sizes:
        sys.stdout.write(f"{size} px: {planned_gib(size):.1f} GiB\n")
    pipe: Any = AutoPipelineForText2Image.from_pretrained("shapes", backend="jax")
    pipe.set_progress_bar_config(disable=True)
    pixels, movq = pictures(pipe, options.steps), pipe.movq
    latents = movq.encode(pixels)
    whole = movq.decode(latents)
    sys.stdout.write(f"whole: {_decibels(whole, pixels):.1f} dB from what was encoded\n")
    for size in (64, 128):
        movq.enable_tiling(size)
        tiled = movq.decode(latents)
        sys.stdout.write(
            f"tiles of {size}: mean deviation {np.abs(tiled - whole).mean() / 2:.3f} in [0, 1], "
            f"{_decibels(tiled, whole):.1f} dB; {_decibels(tiled, pixels):.1f} dB from what was "
            "encoded\n"
        )


def _decibels(first: Any, second: Any) -> float:
    return float(-10 * np.log10(np.square((first - second) / 2).mean()))


if __name__ == "__main__":
    main()
