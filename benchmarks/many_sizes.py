"""Makes pictures of many sizes in one process, and shows what the compiled programs take.

    python -m benchmarks.many_sizes --backend jax --count 300
    python -m benchmarks.many_sizes --backend mindspore --compile --count 20

Each size is image to image of one step, to latents, which compiles the encoder and the UNet's step.
The memory mappings and the resident memory must reach a level and stay there.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.turns import write_json
from kandinsky_backend_kit.bounded_programs import kept_programs
from kandinsky_backend_kit.host_memory import resident_memory
from kandinsky_backend_kit.memory_mappings import memory_mappings
from kandinsky_core import KandinskyV22Img2ImgPipeline, get_backend

SMALLEST, LARGEST = 64, 512
_STEP = 16  # of a side, in pixels: the embedded model rounds up to this


def sizes(count: int, largest: int) -> list[tuple[int, int]]:
    """Return different heights and widths in pixels, the smallest pictures first."""
    sides = range(SMALLEST, largest + 1, _STEP)
    found = sorted(itertools.product(sides, sides), key=lambda size: (size[0] * size[1], size))
    return found[:count]


def run(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Make the pictures, print a line for each tenth, and return one row of figures for each."""
    words = {"compile": True} if options.compile else {}
    pipeline = KandinskyV22Img2ImgPipeline.from_pretrained(
        options.model, backend=get_backend(options.backend, **words)
    )
    pipeline.set_progress_bar_config(disable=True)
    embeds = np.zeros((1, pipeline.unet.config.encoder_hid_dim), np.float32)
    picture = np.zeros((LARGEST, LARGEST, 3), np.uint8)
    rows = []
    for number, (height, width) in enumerate(sizes(options.count, options.largest), start=1):
        start = time.perf_counter()
        pipeline(
            image_embeds=embeds,
            negative_image_embeds=embeds,
            image=picture,
            height=height,
            width=width,
            num_inference_steps=2,
            strength=0.5,  # one step
            output_type="latent",
            seed=0,
        )
        mappings = memory_mappings()
        row = {
            "number": number,
            "size": [height, width],
            "seconds": time.perf_counter() - start,
            "programs": len(kept_programs()),
            "mappings": None if mappings is None else mappings.taken,
            "resident_gib": resident_memory() / 2**30,
        }
        rows.append(row)
        if number == 1 or number % 10 == 0:
            sys.stdout.write(_line(row))
            sys.stdout.flush()
    return rows


def _line(row: dict[str, Any]) -> str:
    height, width = row["size"]
    return (
        f"{row['number']:>4}  {height:>4} x {width:<4}{row['seconds']:>7.1f} s"
        f"{row['programs']:>6} programs  {row['mappings']} mappings"
        f"  {row['resident_gib']:.2f} GiB\n"
    )


def main() -> None:
    """Run the sizes that the options name."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.many_sizes", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--backend", default="jax", help="jax or mindspore (jax)")
    parser.add_argument("--compile", action="store_true", help="mindspore: compile the UNet")
    parser.add_argument("--model", default="shapes", help="name or folder (shapes)")
    parser.add_argument("--count", type=int, default=300, help="sizes (300)")
    parser.add_argument("--largest", type=int, default=LARGEST, help="longest side in pixels (512)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures there")
    options = parser.parse_args()
    rows = run(options)
    sys.stdout.write(_line(rows[-1]))
    write_json(options.json, {"rows": rows})


if __name__ == "__main__":
    main()
