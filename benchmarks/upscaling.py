"""Compares KandiSuperRes on our backends with the authors' own code, full size, random weights.

    git clone https://github.com/ai-forever/KandiSuperRes original
    pip install einops
    python -m benchmarks.upscaling --original original

Each side enlarges one picture four times in float32, window by window, in a process of its own; the
sides take turns. The authors' code runs in eager PyTorch, as its README shows it. Weights are
random, which changes no time.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.full_size import RandomComponent
from benchmarks.turns import (
    add_comparison,
    finish_side,
    machine,
    run_in_turns,
    summary,
    versions,
    write_json,
)
from kandinsky_core import DPMSolverMultistepScheduler, KandinskySuperResPipeline, get_backend
from kandinsky_core.configs import SuperResUNetConfig

SIDES = ("jax", "mindspore", "original")
_SCALE = 4
_PACKAGES = {
    "jax": ("jax", "flax"),
    "mindspore": ("mindspore",),
    "original": ("torch", "diffusers"),
}


def ours(backend_name: str, steps: int) -> tuple[Callable[[Any], Any], Callable[[], float]]:
    """Return a call that enlarges a picture, and the seconds that compilers took so far."""
    backend: Any = get_backend(backend_name)
    config = SuperResUNetConfig(scale=_SCALE)
    source = RandomComponent(config.CLASS_NAME, dataclasses.asdict(config))
    unet = backend.load(source, "float32")
    pipeline = KandinskySuperResPipeline(
        unet=unet, scheduler=DPMSolverMultistepScheduler(prediction_type="sample")
    )
    pipeline.set_progress_bar_config(disable=True)
    return (
        lambda picture: pipeline(picture, num_inference_steps=steps, output_type="np"),
        lambda: sum(entry.seconds for entry in backend.compilations),
    )


def original(folder: Path, steps: int) -> Callable[[Any], Any]:
    """Return a call of the authors' loop around their network."""
    import torch

    sys.path.insert(0, str(folder / "KandiSuperRes"))  # their package itself imports more
    network = importlib.import_module("model.unet_sr").UNet(model_channels=128)  # as published
    network = network.eval().requires_grad_(requires_grad=False)
    solver = importlib.import_module("model.diffusion_sr").DPMSolver

    def call(picture: Any) -> Any:
        small = torch.from_numpy(picture.transpose(2, 0, 1)[None]) * 2 - 1
        sides = [side * _SCALE for side in picture.shape[:2]]
        kinds = "cpu", torch.float32
        loop = solver(steps)  # as in their pipeline, one for each picture
        return loop.generate_panorama(*sides, *kinds, steps, network, lowres_img=small)

    return call


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Measure one side in this process: seconds per step of a picture."""
    compiling: Callable[[], float]
    if options.side == "original":
        call, compiling = original(options.original, options.steps), lambda: 0.0
    else:
        call, compiling = ours(options.side, options.steps)
    side = options.size // _SCALE
    picture = np.random.default_rng(0).random((side, side, 3), np.float32)
    seconds = []
    for _ in range(options.repeats + 1):
        start = time.perf_counter()
        call(picture)
        seconds.append((time.perf_counter() - start) / options.steps)
    return {
        "steps": seconds[1:],
        "compile": compiling(),
        "versions": versions(*_PACKAGES[options.side]),
    }


def main() -> None:
    """Measure the sides and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    add_comparison(parser, SIDES, ("jax", "original"))
    parser.add_argument("--original", type=Path, help="a clone of ai-forever/KandiSuperRes")
    parser.add_argument("--size", type=int, default=256, help="pixels of the large side (256)")
    parser.add_argument("--steps", type=int, default=2, help="denoising steps of a picture (2)")
    parser.add_argument("--repeats", type=int, default=2, help="timed pictures of a process (2)")
    options = parser.parse_args()
    sides = options.sides if options.side is None else [options.side]
    if "original" in sides and options.original is None:
        parser.error("the side `original` needs --original, a clone of ai-forever/KandiSuperRes")
    if options.side is not None:
        finish_side(measure(options))
        return
    words = ["--size", options.size, "--steps", options.steps, "--repeats", options.repeats]
    words += [] if options.original is None else ["--original", options.original]
    runs = run_in_turns(
        "benchmarks.upscaling", options.sides, [str(word) for word in words], options.turns
    )
    found = {side: summary(measured) for side, measured in runs.items()}
    theirs = found.get("original", {}).get("seconds_per_step")
    for side, row in found.items():
        seconds = row["seconds_per_step"]
        ratio = "" if theirs is None else f", {seconds / theirs:.2f} of the original"
        sys.stdout.write(f"{side}: {seconds:.2f} s a step{ratio}; {row['peak_gib']:.1f} GiB\n")
    write_json(options.json, {"machine": machine(), "size": options.size, "sides": found})


if __name__ == "__main__":
    main()
