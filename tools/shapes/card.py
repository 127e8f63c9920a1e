"""Write the model cards from the figures: python -m tools.shapes.card --model DIR."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

__all__ = ["FRONT", "RESULTS", "main"]

RESULTS = Path(__file__).parent / "results"
FRONT = """---
license: apache-2.0
language: en
pipeline_tag: text-to-image
library_name: diffusers
{extra}tags:
- text-to-image
- kandinsky
---

"""
_ABOUT = """## What it is

`shapes` is a complete Kandinsky 2.2 in miniature: the same networks, files and mathematics as the
published models, with small widths. It draws one or two coloured shapes on a plain ground, so
that every step from text to picture can be run and checked in seconds on any machine.

It knows circles, squares, triangles and stars; red, green, blue, yellow, purple, orange, black
and white; small, medium and large; left, right, top, bottom and center (the center where the
prompt names no place). Example: "a large red circle on the left on a blue background".

## How it was trained

All pictures and captions are drawn by a script; no outside data was used. `python -m
tools.shapes.train --output DIR --seed 0` trains, one after the other, a CLIP (contrast, and
linear heads that must read the scene from the embeddings), a MoVQ autoencoder without
quantisation, the diffusion prior, and the UNet, which is then refined on scenes of two shapes.
The weights are stored in float16. Log, settings and figures: `tools/shapes/results`.

## How well it follows prompts

Judged by the pixels ({pictures} pictures in {batches} seeded batches, float32 on a CPU
with diffusers, the defaults of the pipelines: prior 25 steps, decoder 100 steps, guidance 4):

| | all | one shape | two shapes |
|---|---|---|---|
{rows}

## Limits

Pictures of 64 x 64 pixels are what it is made for; 96 x 64, 64 x 96 and 128 x 128 were a small
part of the training, and shapes come out bent at 128 x 128. With two shapes it sometimes gives
both the same colour or kind. A negative prompt steers away from the scene that it makes the prior
think of, which distorts the shape more often (`negative.json`). It knows nothing but these
scenes: other words are ignored at best. The codebook of the MoVQ and the variance half of the
UNet's output are untrained, since no published pipeline uses them.
"""
_TITLES = {
    "prior": "# shapes: prior\n\nText encoder, image encoder and diffusion prior of `shapes`. "
    "The other half is the decoder, next to this folder.\n\n",
    "decoder": "# shapes: decoder\n\nUNet and MoVQ of `shapes`. "
    "The text comes in through the prior, next to this folder.\n\n",
}
_NAMES = {
    "colour": "colour of the shape",
    "ground": "colour of the ground",
    "kind": "which shape",
    "position": "position",
    "size": "size",
    "count": "number of shapes",
}


def _shares(reports: list[dict[str, Any]], attribute: str) -> str:
    """Return the shares of right pictures over all reports: all, one shape, two shapes."""
    cells = []
    for group in ("right", "right_one_shape", "right_two_shapes"):
        # Every report has the same part of prompts with two shapes, so its size is its weight.
        right = sum(report["pictures"] * report[group][attribute] for report in reports)
        cells.append(f"{100 * right / sum(report['pictures'] for report in reports):.1f} %")
    return " | ".join(cells)


def main() -> None:
    """Write README.md into prior/ and decoder/ with the figures of results/defaults*.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="holds prior/ and decoder/")
    folder = parser.parse_args().model
    reports = [
        json.loads(path.read_text("utf-8")) for path in sorted(RESULTS.glob("defaults*.json"))
    ]
    rows = "\n".join(f"| {title} | {_shares(reports, name)} |" for name, title in _NAMES.items())
    pictures = sum(report["pictures"] for report in reports)
    seeds = sum(-(-report["pictures"] // report["settings"]["batch"]) for report in reports)
    about = _ABOUT.format(pictures=pictures, batches=seeds, rows=rows)
    for name, title in _TITLES.items():
        extra = "prior:\n- ../prior\n" if name == "decoder" else ""
        text = FRONT.format(extra=extra) + title + about
        (folder / name / "README.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
