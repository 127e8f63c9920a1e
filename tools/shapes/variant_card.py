"""Write the cards of the variants: python -m tools.shapes.variant_card --model DIR."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from tools.shapes.card import FRONT, RESULTS
from tools.shapes.train_variants import STEPS

__all__ = ["main"]

_INPAINT = """# shapes: inpaint

UNet and MoVQ of `shapes` for inpainting. The text comes in through the prior, next to this folder.

## What it is

The decoder of `shapes`, trained on to repaint a part of a picture. Its UNet reads 9 channels: the
noisy latents (4), the latents of what is kept (4), and the mask (1, where 1 keeps). The pipelines
take the picture and a mask, white where it is to be repainted. The prompt names the new shape
("a green square"), or the whole new picture.

## How it was trained

`python -m tools.shapes.train --output DIR --seed 0`, stage `inpaint`: {steps} steps, in two
passes, from the decoder's weights, on pictures with a half, a box around a shape, any box, or
everything to be repainted. The embedding is that of the whole new picture or that of the new shape
alone, there or elsewhere, on the same or another ground, of which the kept one wins. No outside
data was used. The weights are stored in float16.

## How well it follows prompts

Judged by the pixels ({pictures} pictures, float32 on a CPU with diffusers, {decoder_steps} steps,
guidance 4, prior with its defaults). Two of three pictures keep a shape in one half and get a new
one in the other; in the third a box with a shape gets another one. All right means: colours,
ground, kinds, places and number of all shapes in the picture, and no step of more than 12 of 255
between kept and new ground.

| | all right | {columns} |
|---|---{line}|
{rows}

The rest is left as the MoVQ shows it:

| PSNR to the picture given | mean | least | at least 30 dB |
|---|---|---|---|
| outside the mask | {likeness} |
| what the pipeline keeps | {cells} |
| outside the mask, through the MoVQ alone | {autoencoder} |

The pipelines also repaint a rim of one latent pixel, 4 pixels, beside the mask, as published. The
medians of the new and the kept ground differ by {seam} of 255 in the mean, by {most_seam} at most.

## Limits

{limits}
"""
_CONTROLNET = """# shapes: controlnet

UNet and MoVQ of `shapes` that fill the outline of a hint. The text comes in through the prior,
next to this folder.

## What it is

The decoder of `shapes`, trained on to follow a hint: a silhouette, white on black, antialiased.
The hint gives the outline, its place and its size; the prompt gives the colours of the shape and of
the ground. Where the prompt names another kind, place or size, the hint wins.

As published, the UNet shrinks the hint by 8 and joins it to the latents. A latent pixel of `shapes`
covers 4 x 4 pixels, so the UNet needs a hint of twice the picture's width and height: 128 x 128 for
a picture of 64 x 64. Values are in [0, 1], the three channels are equal.

## How it was trained

`python -m tools.shapes.train --output DIR --seed 0`, stage `controlnet`: {steps} steps
from the decoder's weights. Most embeddings are those of another picture in the same
colours, with another kind, place and size. More than half of the single shapes lie anywhere, of
any size, many of them tilted. No outside data was used. The weights are stored in float16.

## How well it follows hints

Judged by the pixels ({pictures} pictures, float32 on a CPU with diffusers, {decoder_steps} steps,
guidance 4, prior with its defaults). The overlap is the intersection of the drawn shapes with
the hint over their union, where pixels on an outline count in part. All right means: colour,
ground, and an overlap of at least 0.8.

| prompt and hint differ in | all right | {columns} |
|---|---{line}|
{rows}

The least overlap is {least}. The MoVQ alone, from a drawn picture to itself, gives {best} in the
mean and {best_least} at least, so little more can be had.

## Limits

{limits}
"""
_PARTS = {"box": "box"}
_WORDINGS = {
    "shape": "prompt: the new shape",
    "ground": "prompt: with the ground",
    "place": "prompt: with place and ground",
    "whole": "prompt: the whole picture",
}
_DISAGREEMENTS = {
    "none": "nothing",
    "kind": "kind",
    "kind, place and size": "kind, place and size",
    "tilt": "kind, in any place, size and tilt",
}
_LIMITS = {
    "inpaint": """Made for 64 x 64 pixels. It paints shapes of `shapes` on plain grounds, of up to
medium size in a half. A prompt of the whole picture fails most often, mainly in the kind, since the
prior mixes up two shapes; a prompt of the new shape alone does better. The new shape may touch the
kept one. A kept shape that reaches into the repainted rim is completed there by guess. Prompts
cannot change the kept ground, and to remove a shape without naming another was not trained.""",
    "controlnet": """Made for 64 x 64 pixels. The tips of small stars come out short, much
of it by the MoVQ. Hints of two shapes were a fifth of the training, but are not part of these
figures; in four pictures looked at, a prompt of one shape gave its colour to both, and a prompt
of two places gave each its own. Outlines other than circles, squares, triangles and stars, tilted
or not, were not trained. A prompt without a ground leaves its colour to chance.""",
}


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _table(groups: dict[str, dict[str, Any]], names: tuple[str, ...]) -> dict[str, str]:
    """Return the rows of figures of all groups, and the head of their columns."""
    rows = []
    for title, figures in groups.items():
        cells = [
            f"{figures[name]['mean']:.3f}"
            if isinstance(figures[name], dict)
            else _percent(figures[name])
            for name in ("right", *names)
        ]
        rows.append(f"| {title} ({figures['pictures']}) | {' | '.join(cells)} |")
    return {"columns": " | ".join(names), "line": "|---" * len(names), "rows": "\n".join(rows)}


def _decibels(report: dict[str, Any], name: str) -> str:
    figures = report[name]
    share = _percent(report[f"{name} at least 30"])
    return f"{figures['mean']:.1f} dB | {figures['least']:.1f} dB | {share}"


def _inpaint(report: dict[str, Any]) -> dict[str, str]:
    groups = {"all": report}
    groups |= {_PARTS.get(name, f"{name} half"): part for name, part in report["by part"].items()}
    groups |= {_WORDINGS[name]: part for name, part in report["by wording"].items()}
    table = _table(groups, ("colour", "ground", "kind", "position", "count"))
    return table | {
        "likeness": _decibels(report, "likeness"),
        "cells": _decibels(report, "likeness of kept cells"),
        "autoencoder": _decibels(report, "likeness of autoencoder"),
        "seam": f"{report['seam']['mean']:.1f}",
        "most_seam": f"{report['seam']['most']:.0f}",
    }


def _controlnet(report: dict[str, Any]) -> dict[str, str]:
    groups = {"all": report}
    groups |= {_DISAGREEMENTS[name]: part for name, part in report["by disagreement"].items()}
    names = ("colour", "ground", "overlap", "overlap at least 0.8", "overlap at least 0.9")
    best = report["overlap of autoencoder"]
    return _table(groups, names) | {
        "best": f"{best['mean']:.3f}",
        "best_least": f"{best['least']:.3f}",
        "least": f"{report['overlap']['least']:.3f}",
    }


def main() -> None:
    """Write README.md into inpaint/ and controlnet/ with the figures of results/."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="holds inpaint/ and controlnet/")
    folder = parser.parse_args().model
    for name, card, figures in (
        ("inpaint", _INPAINT, _inpaint),
        ("controlnet", _CONTROLNET, _controlnet),
    ):
        report = json.loads((RESULTS / f"{name}.json").read_text("utf-8"))
        text = card.format(
            steps=" and ".join(map(str, STEPS[name])),
            pictures=report["pictures"],
            decoder_steps=report["settings"]["steps"],
            limits=_LIMITS[name],
            **figures(report),
        )
        front = FRONT.format(extra="prior:\n- ../prior\n")
        (folder / name / "README.md").write_text(front + text, encoding="utf-8")


if __name__ == "__main__":
    main()
