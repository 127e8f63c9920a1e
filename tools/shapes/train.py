"""Train `shapes` from nothing: python -m tools.shapes.train --output DIR --seed 0."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import torch

from tools.shapes.data import Dataset, make_dataset, make_vocabulary
from tools.shapes.export import export
from tools.shapes.export_upscaler import export_upscaler
from tools.shapes.loop import Run
from tools.shapes.train_clip import train_clip, train_pictures
from tools.shapes.train_movq import train_movq
from tools.shapes.train_prior import train_prior
from tools.shapes.train_unet import refine_unet, train_unet
from tools.shapes.train_upscaler import train_upscaler
from tools.shapes.train_variants import train_controlnet, train_inpaint

__all__ = ["main"]

_SCENES = 40_000
_STAGES: dict[str, tuple[str, Callable[[Run, Dataset], None]]] = {
    "clip": ("clip_pictures.pt", train_clip),
    "pictures": ("image_encoder.pt", train_pictures),
    "movq": ("movq.pt", train_movq),
    "prior": ("prior.pt", train_prior),
    "unet": ("unet.pt", train_unet),
    "refine": ("unet_refined.pt", refine_unet),
}
_VARIANTS: dict[str, tuple[str, Callable[[Run], None]]] = {  # these draw their own scenes
    "inpaint": ("unet_inpaint.pt", train_inpaint),
    "controlnet": ("unet_controlnet.pt", train_controlnet),
    "upscaler": ("upscaler.pt", train_upscaler),
}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True, help="folder for the model")
    parser.add_argument("--work", type=Path, help="folder of the finished stages (OUTPUT/work)")
    parser.add_argument("--stage", choices=[*_STAGES, *_VARIANTS, "export", "all"], default="all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--length", type=float, default=1.0, help="scales the number of steps")
    parser.add_argument("--scenes", type=int, default=_SCENES, help="size of the training set")
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def main() -> None:
    """Train the stages whose weights are not there yet, then write the folders."""
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    folder = arguments.work or arguments.output / "work"
    folder.mkdir(parents=True, exist_ok=True)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    run = Run(folder, arguments.seed, arguments.length, device)
    if not (folder / "vocab.json").exists():
        make_vocabulary(folder, run.seed)
    chosen = [*_STAGES, *_VARIANTS] if arguments.stage == "all" else [arguments.stage]
    files = {name: file for name, (file, _) in (_STAGES | _VARIANTS).items()}
    wanted = [name for name in chosen if name in files and not (folder / files[name]).exists()]
    if any(name in _STAGES for name in wanted):
        data = make_dataset(folder, run.seed, arguments.scenes)
    for name in wanted:
        started = time.monotonic()
        if name in _STAGES:
            _STAGES[name][1](run, data)
        else:
            _VARIANTS[name][1](run)
        run.record(stage=name, done=True, wall_seconds=round(time.monotonic() - started, 1))
    if arguments.stage in ("export", "all"):
        export(folder, arguments.output)
        if (folder / "upscaler.pt").exists():
            export_upscaler(folder, arguments.output / "upscaler")


if __name__ == "__main__":
    main()
