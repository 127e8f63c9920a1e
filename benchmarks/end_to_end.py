"""Times the whole way from a prompt to a picture with Kandinsky 2.2, beside PyTorch diffusers.

    python -m benchmarks.end_to_end --model medium --size 256
    python -m benchmarks.end_to_end --model full --size 512 --steps 10 --prior-steps 5

`medium` and `full` are written first with random weights, 5 and 22 GB in float32, and removed at
the end. `shapes` is the embedded model. A folder that holds `prior` and `decoder` is taken as it
is. Every side is a process of its own: it loads the prior, embeds a prompt twice, drops the prior,
loads the decoder, and draws twice. So memory has to hold the larger half and not the whole model.
The first picture compiles, the second does not.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.turns import (
    add_comparison,
    finish_side,
    installed,
    machine,
    run_in_turns,
    versions,
    write_json,
)
from benchmarks.whole_model import MODELS, add_model, write_model
from kandinsky_core.checkpoints.hub import EMBEDDED

SIDES = {
    "jax": "jax",
    "mindspore": "mindspore",
    "diffusers": "diffusers",
    "diffusers channels-last": "diffusers",
    "diffusers compiled": "diffusers",
}
"""The sides that can be compared, and the package that each needs."""
REFERENCE = "diffusers"
DEFAULT_SIDES = ("jax", "diffusers")
PROMPT = "a red circle on a blue background"
PARTS = ("prior", "decoder")


def _ours(side: str, dtype: str) -> tuple[Callable[[Path, str], Any], dict[str, Any]]:
    from kandinsky_core import KandinskyV22Pipeline, KandinskyV22PriorPipeline, get_backend

    backend = get_backend(side)
    classes: dict[str, Any] = {"prior": KandinskyV22PriorPipeline, "decoder": KandinskyV22Pipeline}

    def load(folder: Path, part: str) -> Any:
        return classes[part].from_pretrained(folder / part, backend=backend, dtype=dtype)

    return load, versions(*(("jax", "flax") if side == "jax" else ("mindspore", "mindone")))


def _theirs(side: str, dtype: str) -> tuple[Callable[[Path, str], Any], dict[str, Any]]:
    import torch
    from diffusers import KandinskyV22Pipeline, KandinskyV22PriorPipeline

    device = "cuda" if torch.cuda.is_available() else "cpu"
    classes: dict[str, Any] = {"prior": KandinskyV22PriorPipeline, "decoder": KandinskyV22Pipeline}

    def load(folder: Path, part: str) -> Any:
        pipe = classes[part].from_pretrained(folder / part, torch_dtype=getattr(torch, dtype))
        pipe.to(device)
        if part == "decoder" and side != REFERENCE:
            pipe.unet.to(memory_format=torch.channels_last)
            if side == "diffusers compiled":
                pipe.unet = torch.compile(pipe.unet)
        return pipe

    return load, versions("torch", "diffusers", "transformers")


def pictures(options: argparse.Namespace) -> dict[str, Any]:
    """Make two pictures in this process, and return the seconds of each stage."""
    ours = not options.side.startswith("diffusers")
    load, packages = (_ours if ours else _theirs)(options.side, options.dtypes[0])
    folder = Path(options.model)
    size = {"height": options.size, "width": options.size} if options.size else {}
    calls: dict[str, dict[str, Any]] = {
        "prior": {"prompt": PROMPT, "num_inference_steps": options.prior_steps},
        "decoder": {"num_inference_steps": options.steps, "output_type": "np", **size},
    }
    found: dict[str, Any] = {}
    embeds: dict[str, Any] = {}
    for part in PARTS:
        start = time.perf_counter()
        pipe = load(folder, part)
        pipe.set_progress_bar_config(disable=True)
        found[f"{part} load"] = time.perf_counter() - start
        for turn in ("first", "second"):
            start = time.perf_counter()
            output = pipe(**calls[part], **embeds)
            found[f"{part} {turn}"] = time.perf_counter() - start
        if part == "prior":
            names = ("image_embeds", "negative_image_embeds")
            embeds = {name: getattr(output, name) for name in names}
        found["device"] = str(pipe.device)
        del pipe, output
        gc.collect()
    return found | {"versions": packages}


def compare(options: argparse.Namespace, model: str) -> dict[str, Any]:
    """Run all sides in turns, and relate them to eager diffusers in each dtype."""
    sides = installed(options.sides, SIDES)
    found: dict[str, Any] = {"machine": machine(), "rows": []}
    for dtype in options.dtypes:
        words = ["--model", model, "--dtypes", dtype, "--steps", str(options.steps)]
        words += ["--prior-steps", str(options.prior_steps)]
        words += ["--size", str(options.size)] if options.size else []
        runs = run_in_turns("benchmarks.end_to_end", sides, words, options.turns)
        rows = {side: _row(own) for side, own in runs.items()}
        for row in rows.values():
            if REFERENCE in rows:
                row["ratio"] = row["picture"] / rows[REFERENCE]["picture"]
        found["rows"].append({"dtype": dtype, "sides": rows})
    found["machine"]["load_after"] = machine()["load"]
    return found


def _row(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Summarise a side: its best and median picture, its loading, its first picture, its memory."""

    def total(run: dict[str, Any], *stages: str) -> float:
        return sum(float(run[f"{part} {stage}"]) for part in PARTS for stage in stages)

    best = min(runs, key=lambda run: total(run, "second"))
    return {
        "picture": total(best, "second"),
        "median": statistics.median(total(run, "second") for run in runs),
        "load": min(total(run, "load") for run in runs),
        "first": min(total(run, "first") for run in runs),
        "peak_gib": max(run["peak_gib"] for run in runs),
        "runs": runs,
    }


def _lines(found: dict[str, Any]) -> str:
    lines = []
    for entry in found["rows"]:
        lines.append(f"prompt to picture, {entry['dtype']}")
        for side, row in entry["sides"].items():
            ratio = f"{row['ratio']:7.2f}" if "ratio" in row else ""
            lines.append(
                f"  {side:<24}{row['picture']:9.1f} s{ratio}  first {row['first']:.1f} s"
                f"  load {row['load']:.1f} s  peak {row['peak_gib']:.1f} GiB"
            )
    return "\n".join(lines) + "\n"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    add_model(parser)
    parser.add_argument("--steps", type=int, default=50, help="of the decoder (50)")
    parser.add_argument("--prior-steps", type=int, default=25, help="of the prior (25)")
    add_comparison(parser, SIDES, DEFAULT_SIDES)
    return parser.parse_args()


def main() -> None:
    """Measure one side (in a child process), or compare all."""
    options = _arguments()
    if options.side:
        finish_side(pictures(options))
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        model = str(EMBEDDED.get(options.model, options.model))
        if options.model in MODELS:
            model = str(write_model(options.model, Path(name)))
        found = {
            **{key: getattr(options, key) for key in ("model", "size", "steps", "prior_steps")},
            **compare(options, model),
        }
    sys.stdout.write(_lines(found))
    write_json(options.json, found)


if __name__ == "__main__":
    main()
