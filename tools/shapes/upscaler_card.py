"""Write the card of the upscaler: python -m tools.shapes.upscaler_card --model DIR."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from tools.shapes.card import RESULTS
from tools.shapes.train_upscaler import STEPS

__all__ = ["main"]

_CARD = """---
license: apache-2.0
pipeline_tag: image-to-image
tags:
- super-resolution
- kandinsky
---

# shapes: upscaler

A KandiSuperRes in miniature: it makes the pictures of `shapes` four times as large, 64 x 64 to
256 x 256 pixels.

## What it is

The UNet of KandiSuperRes with small widths: the same network, files and sampling as the published
model of scale 4. It sees windows of 64 x 64 pixels of the large picture, 32 apart.

## How it was trained

`python -m tools.shapes.train --output DIR --seed 0`, stage `upscaler`: {steps} steps
on pictures that the script draws at 256 x 256 and shrinks by the means of 4 x 4 pixels. A fourth of
the small ones went through the MoVQ of `shapes`. No outside data was used. The weights are stored
in float16.

## How well it enlarges

`python -m tools.shapes.evaluate_upscaler --model shapes --output FILE.json`, float32 on a CPU, 5
steps. {drawn} drawn pictures against the same pictures drawn large:

| | PSNR | error of colours inside of shapes |
|---|---|---|
| bicubic | {bicubic:.1f} dB | |
| upscaler | {psnr:.1f} dB | {colour:.1f} of 255 |
| upscaler, `paste_exact=True` | {exact:.1f} dB | {colour_exact:.1f} of 255 |

{made} pictures that `shapes` made of prompts, judged by their pixels. All right means colours,
ground, kinds, places and number of the shapes; the match is the overlap of an outline with an ideal
one.

| | all right | match of outlines |
|---|---|---|
| 64 x 64 | {small_right:.1f} % | {small_match:.3f} |
| 256 x 256 | {large_right:.1f} % | {large_match:.3f} |

## Limits

Made for flat shapes on plain grounds; a photograph comes out flat. Scale 4 only. What MoVQ
bent in a small picture stays bent.
"""


def text(report: dict[str, Any]) -> str:
    """Return the card with the figures of a report of `evaluate_upscaler`."""
    drawn, exact, made = report["drawn"], report["drawn, exact"], report["made"]
    return _CARD.format(
        steps=STEPS,
        drawn=drawn["count"],
        bicubic=drawn["psnr_bicubic"],
        psnr=drawn["psnr"],
        colour=drawn["colour_error"],
        exact=exact["psnr"],
        colour_exact=exact["colour_error"],
        made=made["count"],
        small_right=100 * made["small"]["right"],
        small_match=made["small"]["match"],
        large_right=100 * made["large"]["right"],
        large_match=made["large"]["match"],
    )


def main() -> None:
    """Write README.md into upscaler/ with the figures of results/."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="holds upscaler/")
    folder = parser.parse_args().model
    report = json.loads((RESULTS / "upscaler.json").read_text("utf-8"))
    (folder / "upscaler" / "README.md").write_text(text(report), encoding="utf-8")


if __name__ == "__main__":
    main()
