"""Times a process from its start to its first picture, with an empty and with a full cache.

    python -m benchmarks.restart --model medium
    python -m benchmarks.restart --model full --size 512 --steps 2

`cold` starts with an empty compilation cache, `restart` with the cache that `cold` left, and
`warmed up` with the cache that `kandinsky warmup` filled. `converted` is a restart with the folder
that `kandinsky convert` made for JAX in the dtype, as a deployment would have it; before it the
first process of that folder encodes the all-zero picture. Each is a process of its own. `medium`
and `full` are Kandinsky 2.2 with random weights, 5 and 22 GB in float32, which are written first
and removed at the end; `shapes` is the embedded model. All sides spend the same time on their
steps, so few steps show the difference best.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.turns import finish_side, machine, versions
from benchmarks.whole_model import MODELS, add_model, write_model


def first_picture(options: argparse.Namespace) -> dict[str, Any]:
    """Make one picture in this process, and return the seconds of each stage."""
    from kandinsky_core import AutoPipelineForText2Image, get_backend

    stages = {"start and imports": time.time() - options.started}
    clock = time.perf_counter()
    backend: Any = get_backend("jax")
    pipe = AutoPipelineForText2Image.from_pretrained(
        options.model, backend=backend, dtype=options.dtype
    )
    pipe.set_progress_bar_config(disable=True)
    stages["load"] = time.perf_counter() - clock
    clock = time.perf_counter()
    request = {"num_inference_steps": options.steps}
    if "prior_prior" in pipe.networks:  # Kandinsky 3 has none
        request["prior_num_inference_steps"] = options.steps
    if options.size is not None:
        request |= {"height": options.size, "width": options.size}
    pipe("a red circle", seed=1, output_type="np", **request)
    making = time.perf_counter() - clock
    stages["compile"] = sum(entry.seconds for entry in backend.compilations)
    stages["compute"] = making - stages["compile"]
    return {
        "seconds": time.time() - options.started,
        "stages": stages,
        "cached": [entry.cached for entry in backend.compilations],
        "versions": versions("jax", "flax"),
    }


def _started(command: list[str], cache: Path) -> Any:
    environment = os.environ | {"KANDINSKY_COMPILATION_CACHE": str(cache)}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def _compare(options: argparse.Namespace, model: str, folder: Path) -> dict[str, Any]:
    """Run all sides, `turns` times round, and return the fastest run of each."""
    dtype = ["--dtype", options.dtype]
    size = [] if options.size is None else ["--size", str(options.size)]
    picture = [sys.executable, "-m", "benchmarks.restart", "--steps", str(options.steps)]
    picture += [*dtype, *size]
    square = [f"--{side}={options.size}" for side in ("height", "width") if options.size]
    command = [sys.executable, "-m", "kandinsky_cli.main"]
    warmup = [*command, "warmup", "--model", model, *dtype, *square, "--json"]
    convert = [*command, "convert", model, "--to", "jax", *dtype, "--json", "--output"]
    converted = folder / "converted"
    found: dict[str, Any] = {name: [] for name in ("cold", "restart", "warmup", "warmed up")}
    found |= {"conversion": [], "converted, first": [], "converted": []}

    def measure(side: str, model: object, cache: Path) -> None:
        words = ["--model", str(model), "--started", repr(time.time())]
        found[side].append(_started([*picture, *words], cache))

    def time_command(side: str, words: list[str], cache: Path) -> None:
        start = time.time()
        _started(words, cache)
        found[side].append({"seconds": time.time() - start})

    for turn in range(options.turns):
        first, second = folder / f"cold-{turn}", folder / f"warm-{turn}"
        measure("cold", model, first)
        measure("restart", model, first)
        time_command("warmup", warmup, second)
        measure("warmed up", model, second)
        if not found["conversion"]:
            time_command("conversion", [*convert, str(converted)], second)
        measure("converted, first", converted, second)
        measure("converted", converted, second)
    return {side: min(runs, key=lambda run: float(run["seconds"])) for side, runs in found.items()}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    add_model(parser)
    parser.add_argument("--steps", type=int, default=2, help="of prior and decoder each (2)")
    parser.add_argument("--turns", type=int, default=2, help="of which the best counts (2)")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--started", type=float, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Make a picture (in a child process), or compare all sides."""
    options = _arguments()
    if options.started is not None:
        finish_side(first_picture(options))
        return
    at_start = machine()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        model = options.model
        if model in MODELS:
            model = str(write_model(model, folder / "model"))
        found = _compare(options, model, folder)
    cold = found["cold"]["seconds"]
    result = {**vars(options), **at_start, "load_after": machine()["load"], **found}
    for side in ("restart", "warmed up", "converted, first", "converted"):
        result[side]["ratio"] = found[side]["seconds"] / cold
    if options.json:
        sys.stdout.write(json.dumps(result, indent=2, default=str) + "\n")
        return
    for side, row in found.items():
        stages = ", ".join(f"{name} {value:.1f}" for name, value in row.get("stages", {}).items())
        ratio = f"{row['ratio']:6.2f}" if "ratio" in row else " " * 6
        sys.stdout.write(f"{side:<17}{row['seconds']:8.1f} s{ratio}  {stages}\n")
    sys.stdout.write(f"load average {at_start['load']} before, {result['load_after']} after\n")


if __name__ == "__main__":
    main()
