"""Judge the saved model: python -m tools.shapes.evaluate --model DIR --output FILE.json."""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
import transformers
from diffusers import (
    KandinskyV22CombinedPipeline,
    KandinskyV22Pipeline,
    KandinskyV22PriorPipeline,
)
from PIL import Image

from tools.shapes.judge import judge
from tools.shapes.prompts import ATTRIBUTES, Prompt, check, evaluation_prompts

__all__ = ["grid", "load", "main", "versions"]

_GRID = 10  # pictures in a row


def load(folder: Path) -> KandinskyV22CombinedPipeline:
    """Join the two saved folders to a pipeline from text to picture, float32 on the CPU."""
    prior = KandinskyV22PriorPipeline.from_pretrained(folder / "prior")
    decoder = KandinskyV22Pipeline.from_pretrained(folder / "decoder")
    parts = {f"prior_{name}": part for name, part in prior.components.items()}
    pipeline = KandinskyV22CombinedPipeline(**decoder.components, **parts)
    for part in (pipeline.prior_pipe, pipeline.decoder_pipe):
        part.set_progress_bar_config(disable=True)
    return pipeline


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="holds prior/ and decoder/")
    parser.add_argument("--output", type=Path, help="figures as JSON")
    parser.add_argument("--grid", type=Path, help="the pictures as one PNG")
    parser.add_argument("--prompts", type=int, default=200)
    parser.add_argument("--prompt-seed", type=int, default=0)
    parser.add_argument("--batch", type=int, default=20, help="pictures that share one seed")
    parser.add_argument("--negative-prompt")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--prior-steps", type=int, default=25)
    parser.add_argument("--guidance", type=float, default=4.0)
    parser.add_argument("--prior-guidance", type=float, default=4.0)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--height", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def _draw(
    pipeline: KandinskyV22CombinedPipeline, texts: list[str], seed: int, args: argparse.Namespace
) -> list[Image.Image]:
    negative = None if args.negative_prompt is None else [args.negative_prompt] * len(texts)
    return pipeline(
        texts,
        negative_prompt=negative,
        num_inference_steps=args.steps,
        guidance_scale=args.guidance,
        prior_guidance_scale=args.prior_guidance,
        prior_num_inference_steps=args.prior_steps,
        width=args.width,
        height=args.height,
        generator=torch.Generator().manual_seed(seed),
    ).images


def _figures(results: list[dict[str, bool]], two: list[bool]) -> dict[str, Any]:
    """Return each attribute's share of right pictures, in all and by number of shapes."""

    def shares(chosen: list[dict[str, bool]]) -> dict[str, float]:
        counts = Counter(name for result in chosen for name in ATTRIBUTES if result[name])
        return {name: round(counts[name] / max(1, len(chosen)), 4) for name in ATTRIBUTES}

    return {
        "pictures": len(results),
        "right": shares(results),
        "right_one_shape": shares([r for r, pair in zip(results, two, strict=True) if not pair]),
        "right_two_shapes": shares([r for r, pair in zip(results, two, strict=True) if pair]),
    }


def grid(images: list[Image.Image]) -> Image.Image:
    """Set the pictures in rows, with a narrow gap."""
    width, height = images[0].width + 2, images[0].height + 2
    rows = -(-len(images) // _GRID)
    sheet = Image.new("RGB", (_GRID * width, rows * height), "gray")
    for index, image in enumerate(images):
        sheet.paste(image, (index % _GRID * width + 1, index // _GRID * height + 1))
    return sheet


def versions() -> dict[str, str]:
    """Return the versions of the packages that made the figures."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
        "transformers": transformers.__version__,
        "numpy": np.__version__,
    }


def _report(
    images: list[Image.Image], prompts: list[Prompt], args: argparse.Namespace
) -> dict[str, Any]:
    """Judge the pictures and gather the figures, the settings and every failure."""
    verdicts = [judge(image) for image in images]
    results = [check(*pair) for pair in zip(verdicts, prompts, strict=True)]
    left_out = ("model", "output", "grid", "threads")
    return {
        **_figures(results, [len(prompt.scene.shapes) == 2 for prompt in prompts]),
        "settings": {name: value for name, value in vars(args).items() if name not in left_out},
        "versions": versions(),
        "failures": [
            {
                "index": index,
                "prompt": prompt.text,
                "wrong": [name for name in ATTRIBUTES if not result[name]],
                "seen": asdict(verdict),
            }
            for index, (prompt, verdict, result) in enumerate(
                zip(prompts, verdicts, results, strict=True)
            )
            if not all(result.values())
        ],
    }


def main() -> None:
    """Draw every prompt once, judge the pictures, and write the figures."""
    args = _arguments()
    torch.set_num_threads(args.threads)
    prompts = evaluation_prompts(args.prompts, args.prompt_seed)
    pipeline = load(args.model)
    started = time.monotonic()
    images: list[Image.Image] = []
    for seed, first in enumerate(range(0, len(prompts), args.batch)):
        texts = [prompt.text for prompt in prompts[first : first + args.batch]]
        images += _draw(pipeline, texts, seed, args)
    seconds = round(time.monotonic() - started, 1)
    report = _report(images, prompts, args) | {"seconds": seconds}
    text = json.dumps(report, indent=1)
    if args.output:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        args.output.write_text(text + "\n", encoding="utf-8")
    if args.grid:
        grid(images).save(args.grid)
    sys.stdout.write(json.dumps(report["right"]) + f" {len(report['failures'])} failures\n")


if __name__ == "__main__":
    main()
