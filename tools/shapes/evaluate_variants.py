"""Judge inpainting or ControlNet: python -m tools.shapes.evaluate_variants --variant inpaint ..."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import (
    KandinskyV22ControlnetPipeline,
    KandinskyV22InpaintPipeline,
    KandinskyV22PriorPipeline,
)
from PIL import Image
from torch import Tensor

from tools.shapes.edits import kept_cells
from tools.shapes.evaluate import grid, versions
from tools.shapes.judge import judge, likeness, overlap, seam
from tools.shapes.prompts import Prompt, check
from tools.shapes.scenes import draw, silhouette
from tools.shapes.variant_prompts import FillPrompt, RepaintPrompt, fill_prompts, repaint_prompts

__all__ = ["main"]

_BATCH = 20
_RIGHT = ("colour", "ground", "kind", "position", "count")  # of repainted pictures
_MOST_SEAM = 12  # out of 255; a larger difference of the ground counts as a seam
_LEAST_OVERLAP = 0.8
_CELLS = "likeness of kept cells"  # a rim beside the mask is also repainted, as published
_LIMITS = {
    "overlap": (_LEAST_OVERLAP, 0.9),
    "likeness": (30,),
    _CELLS: (30,),
    "likeness of autoencoder": (30,),
    "overlap of autoencoder": (_LEAST_OVERLAP, 0.9),
}

Result = dict[str, Any]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="holds prior/ and the variant")
    parser.add_argument("--variant", choices=["inpaint", "controlnet"], required=True)
    parser.add_argument("--output", type=Path, help="figures as JSON")
    parser.add_argument("--grid", type=Path, help="what is given and what comes out as one PNG")
    parser.add_argument("--pictures", type=int, default=120)
    parser.add_argument("--prompt-seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--guidance", type=float, default=4.0)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--height", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def _embeddings(args: argparse.Namespace, texts: list[str]) -> tuple[Tensor, Tensor]:
    """Run the prior with its defaults: the texts' embeddings, and the unconditional ones."""
    prior = KandinskyV22PriorPipeline.from_pretrained(args.model / "prior")
    prior.set_progress_bar_config(disable=True)
    parts = [
        prior(texts[first : first + _BATCH], generator=torch.Generator().manual_seed(first))
        for first in range(0, len(texts), _BATCH)
    ]
    return (
        torch.cat([part.image_embeds for part in parts]),
        torch.cat([part.negative_image_embeds for part in parts]),
    )


def _options(args: argparse.Namespace, seed: int) -> dict[str, Any]:
    return {
        "num_inference_steps": args.steps,
        "guidance_scale": args.guidance,
        "width": args.width,
        "height": args.height,
        "generator": torch.Generator().manual_seed(seed),
    }


def _mask(prompt: RepaintPrompt, width: int, height: int) -> Image.Image:
    """Draw the part to repaint, white on black."""
    left, top, right, bottom = prompt.box
    mask = np.zeros((height, width), np.uint8)
    rows = slice(round(top * height), round(bottom * height))
    columns = slice(round(left * width), round(right * width))
    mask[rows, columns] = 255
    return Image.fromarray(mask)


def _repainted(
    args: argparse.Namespace, prompts: Sequence[RepaintPrompt]
) -> tuple[list[Result], list[Image.Image]]:
    """Repaint each picture (one at a time: the pipeline blends with the first of a batch)."""
    pipeline = KandinskyV22InpaintPipeline.from_pretrained(args.model / "inpaint")
    pipeline.set_progress_bar_config(disable=True)
    wishes, nothing = _embeddings(args, [prompt.text for prompt in prompts])
    results, shown = [], []
    for index, prompt in enumerate(prompts):
        original = Image.fromarray(draw(prompt.before, args.width, args.height))
        mask = _mask(prompt, args.width, args.height)
        one = slice(index, index + 1)
        (image,) = pipeline(
            image_embeds=wishes[one],
            negative_image_embeds=nothing[one],
            image=original,
            mask_image=mask,
            **_options(args, index),
        ).images
        kept = np.asarray(mask) == 0
        cells = np.kron(kept_cells(prompt.box, *original.size)[0], np.ones((4, 4))) == 1
        decoded = _reconstructed(pipeline, original)
        right = check(judge(image), Prompt(prompt.text, prompt.after))
        results.append(
            {name: right[name] for name in _RIGHT}
            | {
                "likeness": likeness(image, original, kept),
                _CELLS: likeness(image, original, cells),
                "likeness of autoencoder": likeness(decoded, original, kept),
                "seam": seam(image, kept),
            }
        )
        given = Image.composite(Image.new("RGB", original.size, "gray"), original, mask)
        shown += [given, image]
    return results, shown


@torch.no_grad()
def _reconstructed(pipeline: Any, image: Image.Image) -> Image.Image:
    """Encode and decode, the best that a pipeline with this MoVQ can do."""
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 127.5 - 1
    latents = pipeline.movq.encode(pixels).latents
    decoded = pipeline.movq.decode(latents, force_not_quantize=True).sample
    array = ((decoded[0].clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
    return Image.fromarray(array)


def _filled(
    args: argparse.Namespace, prompts: Sequence[FillPrompt]
) -> tuple[list[Result], list[Image.Image]]:
    """Draw a picture for each hint."""
    pipeline = KandinskyV22ControlnetPipeline.from_pretrained(args.model / "controlnet")
    pipeline.set_progress_bar_config(disable=True)
    wishes, nothing = _embeddings(args, [prompt.text for prompt in prompts])
    hints = np.stack([silhouette(p.scene, 2 * args.width, 2 * args.height) for p in prompts])
    tensor = torch.from_numpy(hints)[:, None].float().expand(-1, 3, -1, -1) / 255
    images: list[Image.Image] = []
    for first in range(0, len(prompts), _BATCH):
        some = slice(first, first + _BATCH)
        images += pipeline(
            image_embeds=wishes[some],
            negative_image_embeds=nothing[some],
            hint=tensor[some],
            **_options(args, first),
        ).images
    results, shown = [], []
    for prompt, image in zip(prompts, images, strict=True):
        small = silhouette(prompt.scene, args.width, args.height)
        ideal = Image.fromarray(draw(prompt.scene, args.width, args.height))
        verdict = judge(image)
        colours = {seen.colour for seen in verdict.shapes}
        results.append(
            {
                "colour": colours == {prompt.scene.shapes[0].colour},
                "ground": verdict.ground == prompt.scene.ground,
                "overlap": overlap(image, small),
                "overlap of autoencoder": overlap(_reconstructed(pipeline, ideal), small),
            }
        )
        shown += [Image.fromarray(small).convert("RGB"), image]
    return results, shown


def _is_right(result: Result) -> bool:
    return (
        all(value for value in result.values() if isinstance(value, bool))
        and result.get("seam", 0) <= _MOST_SEAM
        and result.get("overlap", 1) >= _LEAST_OVERLAP
    )


def _figures(results: Sequence[Result]) -> dict[str, Any]:
    """Return the share of pictures with each property, and a summary of each measurement."""
    figures: dict[str, Any] = {
        "pictures": len(results),
        "right": round(sum(map(_is_right, results)) / len(results), 4),
    }
    for name, first in results[0].items():
        values = np.array([result[name] for result in results], float)
        if isinstance(first, bool):
            figures[name] = round(float(values.mean()), 4)
        else:
            low, fifth, middle, high = np.percentile(values, (0, 5, 50, 100))
            summary = {"mean": values.mean(), "least": low, "5 %": fifth, "median": middle}
            summary |= {"most": high}
            figures[name] = {key: round(float(value), 4) for key, value in summary.items()}
    for name, limits in _LIMITS.items():
        for least in limits if name in results[0] else ():
            share = np.mean([result[name] >= least for result in results])
            figures[f"{name} at least {least}"] = round(float(share), 4)
    return figures


def _grouped(results: Sequence[Result], prompts: Sequence[Any], key: str) -> dict[str, Any]:
    """Return the figures for each value of the prompts' attribute `key`."""
    groups: dict[str, list[Result]] = defaultdict(list)
    for result, prompt in zip(results, prompts, strict=True):
        groups[getattr(prompt, key)].append(result)
    return {name: _figures(group) for name, group in sorted(groups.items())}


def _report(
    args: argparse.Namespace, prompts: Sequence[Any], results: Sequence[Result]
) -> dict[str, Any]:
    """Gather the figures, in all and by groups, the settings and every failure."""
    keys = ("part", "wording") if args.variant == "inpaint" else ("disagreement",)
    left_out = ("model", "output", "grid", "threads")
    return {
        **_figures(results),
        **{f"by {key}": _grouped(results, prompts, key) for key in keys},
        "settings": {name: value for name, value in vars(args).items() if name not in left_out},
        "versions": versions(),
        "failures": [
            {"index": index, "asked": asdict(prompt), "result": result}
            for index, (prompt, result) in enumerate(zip(prompts, results, strict=True))
            if not _is_right(result)
        ],
    }


def main() -> None:
    """Draw every picture once, judge it, and write the figures."""
    args = _arguments()
    torch.set_num_threads(args.threads)
    started = time.monotonic()
    prompts: Sequence[Any]
    if args.variant == "inpaint":
        prompts = repaint_prompts(args.pictures, args.prompt_seed)
        results, shown = _repainted(args, prompts)
    else:
        prompts = fill_prompts(args.pictures, args.prompt_seed)
        results, shown = _filled(args, prompts)
    seconds = round(time.monotonic() - started, 1)
    report = _report(args, prompts, results) | {"seconds": seconds}
    if args.output:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        args.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    if args.grid:
        grid(shown).save(args.grid)
    sys.stdout.write(json.dumps(_figures(results)) + f" {len(report['failures'])} failures\n")


if __name__ == "__main__":
    main()
