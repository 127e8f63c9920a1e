"""`kandinsky generate`: what it does."""

from __future__ import annotations

import argparse
import json
import os
import secrets
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kandinsky_core.cli.generate import PROGRAM
from kandinsky_core.dtypes import dtype_name
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.metadata import save_image
from kandinsky_core.noise import as_generators
from kandinsky_core.pipelines.auto import AutoPipelineForText2Image
from kandinsky_core.validation import as_prompts, negatives_for, positive_int, real_number

__all__ = ["run"]


def run(options: argparse.Namespace) -> None:
    """Make the pictures, write them, and print where they are.

    Raises:
        KandinskyError: See `DiffusionPipeline.from_pretrained` and the pipeline's call.
    """
    seeds = choose_seeds(options.seed, options.num_images)
    _check(options, seeds)
    paths = choose_paths(options.output, seeds)
    start = time.perf_counter()
    pipeline = load(options)
    loaded = time.perf_counter()
    output = pipeline(
        options.prompt,
        negative_prompt=options.negative_prompt,
        num_images_per_prompt=len(seeds),
        height=options.height,
        width=options.width,
        num_inference_steps=options.steps,
        guidance_scale=options.guidance_scale,
        prior_num_inference_steps=options.prior_steps,
        prior_guidance_scale=options.prior_guidance_scale,
        seed=seeds,
    )
    done = time.perf_counter()
    written = []
    for image, metadata, path in zip(output.images, output.metadata, paths, strict=True):
        metadata = {"program": PROGRAM, **metadata}
        save_image(image, path, metadata)
        written.append({"path": str(path), **metadata})
    seconds = {"load": round(loaded - start, 3), "generate": round(done - loaded, 3)}
    _print(options.json, written, seconds)


def load(options: argparse.Namespace) -> Any:
    """Load the pipeline that the model options name."""
    pipeline = AutoPipelineForText2Image.from_pretrained(
        options.model,
        prior=options.prior,
        prior_revision=options.prior_revision,
        backend=options.backend,
        device=options.device,
        dtype=options.dtype,
        revision=options.revision,
        variant=options.variant,
        local_files_only=options.local_files_only,
    )
    if options.json or not sys.stderr.isatty():
        pipeline.set_progress_bar_config(disable=True)
    return pipeline


def choose_seeds(seeds: Sequence[int] | None, count: int | None) -> list[int]:
    """Return one seed for each picture, so that each can be made again alone.

    A single seed for several pictures stands for consecutive ones.

    Raises:
        InvalidInputError: The numbers of seeds and of pictures contradict each other.
    """
    if count is not None:
        positive_int("--num-images", count)
    if seeds is None:
        seeds = [secrets.randbits(31)]
    if len(seeds) == 1:
        return [seeds[0] + index for index in range(count or 1)]
    if count is not None and count != len(seeds):
        raise InvalidInputError(
            f"--seed has {len(seeds)} seeds for --num-images {count}: "
            "give one for each picture, or a single one"
        )
    return list(seeds)


def choose_paths(output: Path | None, seeds: Sequence[int]) -> list[Path]:
    """Return a path for each picture; only a file that was named is ever overwritten.

    Raises:
        InvalidInputError: The file is no .png, or its folder cannot be written.
    """
    folder = output if output is not None else Path()
    if output is not None and output.suffix and not output.is_dir():
        if output.suffix.lower() != ".png":
            raise InvalidInputError(f"--output {output}: pictures are written as .png")
        folder = output.parent
        paths = [output]
        if len(seeds) > 1:
            paths = _unused([output.with_stem(f"{output.stem}-{seed}") for seed in seeds])
    else:
        paths = _unused([folder / f"kandinsky-{seed}.png" for seed in seeds])
    _check_writable(folder)
    return paths


def _check_writable(folder: Path) -> None:
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise InvalidInputError(f"--output: {existing} is no folder that can be written")


def _unused(paths: Sequence[Path]) -> list[Path]:
    """Number the paths that exist already or come twice."""
    chosen: list[Path] = []
    for path in paths:
        candidate, number = path, 2
        while candidate.exists() or candidate in chosen:
            candidate = path.with_stem(f"{path.stem}-{number}")
            number += 1
        chosen.append(candidate)
    return chosen


def _check(options: argparse.Namespace, seeds: Sequence[int]) -> None:
    """Refuse what the pipeline would refuse, before anything is loaded."""
    negatives_for(as_prompts("PROMPT", options.prompt), options.negative_prompt)
    as_generators(None, seeds, len(seeds))
    for name in ("height", "width", "steps", "prior_steps"):
        if getattr(options, name) is not None:
            positive_int(f"--{name.replace('_', '-')}", getattr(options, name))
    for name in ("guidance_scale", "prior_guidance_scale"):
        real_number(f"--{name.replace('_', '-')}", getattr(options, name))
    dtype_name(options.dtype)


def _print(as_json: bool, written: list[dict[str, Any]], seconds: dict[str, float]) -> None:
    if as_json:
        sys.stdout.write(json.dumps({"images": written, "seconds": seconds}, indent=2) + "\n")
        return
    for picture in written:
        sys.stdout.write(
            f"{picture['path']}  seed {picture['seed']}, {picture['width']}x{picture['height']}, "
            f"{picture['backend']} on {picture['device']}, {seconds['generate']:.1f} s\n"
        )
