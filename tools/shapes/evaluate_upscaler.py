"""Measure an upscaler: python -m tools.shapes.evaluate_upscaler --model DIR --output FILE.json."""

from __future__ import annotations

import argparse
import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from kandinsky_core import AutoPipelineForText2Image, KandinskySuperResPipeline
from tools.shapes.judge import judge
from tools.shapes.prompts import check, evaluation_prompts
from tools.shapes.scenes import draw, random_scene, silhouette

__all__ = ["main", "psnr", "shrunk"]

_LARGE, _SCALE = 256, 4

Pixels = NDArray[np.uint8]


def shrunk(large: Pixels) -> Image.Image:
    """Return a picture whose pixels are the means of 4 x 4 pixels."""
    side = large.shape[0] // _SCALE
    means = large.reshape(side, _SCALE, side, _SCALE, 3).astype(np.float64).mean(axis=(1, 3))
    return Image.fromarray(means.round().astype(np.uint8))


def psnr(image: Any, wanted: Pixels) -> float:
    """Return the likeness of two pictures in dB."""
    error = np.square(np.asarray(image, np.float64) - wanted).mean()
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


def _drawn(upscaler: Any, count: int) -> dict[str, float]:
    """Enlarge drawn pictures, and compare with the pictures drawn large and with bicubic's."""
    rng = np.random.default_rng([0, 11])
    found: dict[str, list[float]] = {"psnr": [], "psnr_bicubic": [], "colour_error": []}
    for _ in range(count):
        scene = random_scene(rng)
        large = draw(scene, _LARGE)
        small = shrunk(large)
        image = upscaler(small).images[0]
        plain = small.resize((_LARGE, _LARGE), Image.Resampling.BICUBIC)
        # Without the edges: what is at least a small pixel away from them.
        shape = Image.fromarray(silhouette(scene, _LARGE)).filter(ImageFilter.MinFilter(9))
        inside = np.asarray(shape) > 254
        errors = np.abs(np.asarray(image, np.float64) - large)[inside]
        found["psnr"].append(psnr(image, large))
        found["psnr_bicubic"].append(psnr(plain, large))
        found["colour_error"].append(float(errors.mean()))
    return {name: round(float(np.mean(values)), 3) for name, values in found.items()}


def _made(upscaler: Any, count: int) -> dict[str, Any]:
    """Enlarge pictures that `shapes` makes, and judge both sizes by the prompt."""
    pipe = AutoPipelineForText2Image.from_pretrained("shapes")
    pipe.set_progress_bar_config(disable=True)
    right: dict[str, list[bool]] = {"small": [], "large": []}
    matches: dict[str, list[float]] = {"small": [], "large": []}
    for seed, prompt in enumerate(evaluation_prompts(count)):
        small = pipe(prompt.text, seed=seed, num_inference_steps=25).images[0]
        for name, image in (("small", small), ("large", upscaler(small).images[0])):
            verdict = judge(image)
            right[name].append(all(check(verdict, prompt).values()))
            matches[name] += [shape.match for shape in verdict.shapes]
    return {
        name: {
            "right": round(float(np.mean(right[name])), 4),
            "match": round(float(np.mean(matches[name])), 4),
        }
        for name in right
    }


def main() -> None:
    """Print the figures, and write them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="the upscaler's folder, or `shapes`")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--drawn", type=int, default=100, help="drawn pictures")
    parser.add_argument("--made", type=int, default=60, help="pictures that shapes makes")
    arguments = parser.parse_args()
    upscaler = KandinskySuperResPipeline.from_pretrained(arguments.model)
    upscaler.set_progress_bar_config(disable=True)
    report = {
        "drawn": {"count": arguments.drawn, **_drawn(upscaler, arguments.drawn)},
        "drawn, exact": {
            "count": arguments.drawn,
            **_drawn(functools.partial(upscaler, paste_exact=True), arguments.drawn),
        },
        "made": {"count": arguments.made, **_made(upscaler, arguments.made)},
    }
    text = json.dumps(report, indent=2)
    print(text)  # noqa: T201 - the result
    if arguments.output is not None:
        arguments.output.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
