"""Tells which operations a step on a CPU spends its time in: a profile by JAX's own tracer.

    python -m benchmarks.operations
    python -m benchmarks.operations --model shapes --sizes 128

It takes the networks of `python -m benchmarks`, with random weights. The tracer costs some time
itself, so shares count. XLA joins operations: one that belongs to two layers counts for the last.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.backend_side import begin
from benchmarks.full_size import CASES, check_cases
from benchmarks.tpu.compiled_text import parse
from benchmarks.tpu.layer_names import layer_names
from benchmarks.tpu.reading import layer_of
from benchmarks.turns import machine

PRODUCTS = {"convolution", "dot", "custom-call"}
KINDS = {
    "convolutions": ("conv",),
    "norms": ("norm", "group_norm", "layer_norm", "ln"),
    "attention": ("attention", "attn", "to_", "attend"),
}
"""Kinds of layers by how the last part of their names begins; a layer of attention has several."""


def profile(case: str, model: str, dtype: str, size: int) -> dict[str, dict[str, float]]:
    """Run one step under the tracer, and return the seconds of each kind of its layers."""
    import jax

    from kandinsky_core import get_backend

    options = jax.profiler.ProfileOptions()
    options.host_tracer_level = 3  # operations, not calls alone
    options.python_tracer_level = 0
    with layer_names(), tempfile.TemporaryDirectory() as folder:
        os.environ["KANDINSKY_COMPILATION_CACHE"] = f"{folder}/cache"  # programs with these names
        backend: Any = get_backend("jax")
        network: Any = backend.load(CASES[case].source(model), dtype)
        call = begin(case, network, size)
        for _ in range(2):  # compiles, and meets its memory
            call()
        with jax.profiler.trace(folder, profiler_options=options):
            call()
        seconds = _seconds(Path(folder))
    operations = {
        name: instruction
        for program in network._programs.values()
        for compiled in program._compiled
        for computation in parse(compiled.as_text()).computations.values()
        for name, instruction in computation.items()
    }
    kinds: dict[str, dict[str, float]] = defaultdict(lambda: {"products": 0.0, "other": 0.0})
    for name, spent in seconds.items():
        instruction = operations.get(name)
        if instruction is None or instruction.opcode in ("while", "call", "conditional"):
            continue  # what runs within counts by itself
        part = "products" if instruction.opcode in PRODUCTS else "other"
        kinds[kind_of(layer_of(instruction.op_name))][part] += spent
    return {name: dict(parts) for name, parts in kinds.items()}


def _seconds(folder: Path) -> dict[str, float]:
    """Return how long each operation was under way, on whichever threads."""
    (path,) = folder.rglob("*.trace.json.gz")
    changes: dict[str, list[tuple[float, int]]] = defaultdict(list)
    for event in json.loads(gzip.decompress(path.read_bytes()))["traceEvents"]:
        name = event.get("name", "")
        if "hlo_op" in event.get("args", {}):
            changes[event["args"]["hlo_op"]].append((event["ts"], 1))
        elif name.startswith("end: "):
            changes[name.removeprefix("end: ")].append((event["ts"] + event["dur"], -1))
    return {name: _covered(own) / 1e6 for name, own in changes.items()}


def _covered(changes: list[tuple[float, int]]) -> float:
    """Return the time in which at least one of the parts that begin and end is under way."""
    running, begun, whole = 0, 0.0, 0.0
    for time, change in sorted(changes):
        if running == 0:
            begun = time
        running += change
        if running == 0:
            whole += time - begun
    return whole


def kind_of(layer: str) -> str:
    """Return the kind of a layer: by the last part of its name that tells one."""
    for part in reversed(layer.split(".")):
        for kind, starts in KINDS.items():
            if part.startswith(starts):
                return kind
    return "other layers" if layer else "between layers"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", choices=("2.2", "shapes"), default="2.2")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=["unet"])
    parser.add_argument("--sizes", nargs="+", type=int, default=[512], metavar="PX")
    parser.add_argument("--dtypes", nargs="+", default=["float32"])
    options = parser.parse_args()
    check_cases(parser, options.cases, options.model)
    return options


def main() -> None:
    """Print a table for each case, size and dtype."""
    options = _arguments()
    for case in options.cases:
        for size in options.sizes:
            for dtype in options.dtypes:
                found = profile(case, options.model, dtype, size)
                sys.stdout.write(_table(f"{case}, {size} px, {dtype}", found))
    sys.stdout.write(f"load average {machine()['load']} after\n")


def _table(title: str, kinds: Mapping[str, Mapping[str, float]]) -> str:
    whole = sum(sum(parts.values()) for parts in kinds.values())
    lines = [f"{title}: {whole:.2f} s in operations", f"{'':<18}products    other    share"]
    for name, parts in sorted(kinds.items(), key=lambda item: -sum(item[1].values())):
        share = sum(parts.values()) / whole
        lines.append(f"{name:<18}{parts['products']:>8.2f}{parts['other']:>9.2f}{share:>9.0%}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
