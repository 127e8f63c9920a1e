"""Compares the time to load a network with the time to read its file.

    python -m benchmarks.loading
    python -m benchmarks.loading --cases unet prior --stored float16 --dtypes float16 bfloat16
    python -m benchmarks.loading --model medium

It writes networks of Kandinsky 2.2 with random weights, as they are published, and converts each
for JAX; `--folder` names the place, which needs 15 GB. Every measurement runs in a process of its
own, the sides in turns. `cold` has put the files out of the system's cache before
(`posix_fadvise`), `warm` has read them. Imports do not count, nor does the time in which the host
of a virtual machine finds memory for it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.full_size import CASES
from benchmarks.memory import PeakMemory
from benchmarks.turns import (
    add_comparison,
    finish_side,
    installed,
    machine,
    run_in_turns,
    versions,
    write_json,
)
from benchmarks.whole_model import MODELS, write_network

SIDES = {
    "reading": "numpy",
    "reading into memory": "numpy",
    "jax": "jax",
    "jax, converted": "jax",
    "mindspore": "mindspore",
    "diffusers": "diffusers",
}
"""The sides and the package that each needs."""
READING = "reading"
CONVERTED = "jax, converted"
_PIECE = 2**20


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Load in this process."""
    folder = options.folder / ("converted" if options.side == CONVERTED else "published")
    folder /= CASES[options.cases[0]].component.rpartition("/")[2]
    (path,) = folder.glob("*.safetensors")
    load = _loader(options.side, folder, path, options.dtypes[0])
    if options.caches[0] == "cold":
        forget(path)
    else:
        read(path)
    touch(2 * path.stat().st_size)
    start, processor = time.perf_counter(), time.process_time()
    with PeakMemory() as memory:
        kept = load()
        seconds, own = time.perf_counter() - start, time.process_time() - processor
    del kept
    return {
        "seconds": seconds,
        "processor": own,
        "peak_mib": memory.peak,
        "versions": versions(SIDES[options.side]),
    }


def _loader(side: str, folder: Path, path: Path, dtype: str) -> Any:
    """Import what a side needs, and return what it does."""
    if side == READING:
        return lambda: read(path)
    if side == "reading into memory":
        return lambda: np.fromfile(path, np.uint8)
    class_name = json.loads((folder / "config.json").read_text("utf-8"))["_class_name"]
    if side == "diffusers":
        import diffusers
        import torch
        import transformers

        found = getattr(diffusers, class_name, None) or getattr(transformers, class_name)
        return lambda: found.from_pretrained(folder, torch_dtype=getattr(torch, dtype))
    from kandinsky_core import get_backend
    from kandinsky_core.checkpoints.checkpoint import Component

    backend: Any = get_backend(SIDES[side])
    source = Component(folder.name, "diffusers", class_name, folder)
    if side == "mindspore":
        from kandinsky_mindspore.runtime import mindone_class

        mindone_class(class_name)  # the import is no part of the load
        return lambda: backend.load(source, dtype)
    import jax

    jax.device_put(np.zeros(1)).block_until_ready()
    return lambda: jax.block_until_ready(backend.load(source, dtype)._weights)


def read(path: Path) -> None:
    """Read a file to its end, always into the same memory."""
    piece = bytearray(_PIECE)
    with path.open("rb", buffering=0) as file:
        while file.readinto(piece):
            pass


def touch(size: int) -> None:
    """Write to that many bytes of new memory, or to all that is free, and free them.

    A virtual machine gets memory from its host when it is written to first, which can take ten
    times as long as loading. Which side paid for it would be chance.
    """
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    np.empty(min(size, free * 3 // 4), np.uint8).fill(1)


def forget(path: Path) -> None:
    """Make the system drop what it holds of a file, so that the next reading is from the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def compare(options: argparse.Namespace) -> dict[str, Any]:
    """Write and convert the files, run all sides, and return their figures."""
    from kandinsky_converters.convert import convert

    sides = installed(options.sides, SIDES)
    found: dict[str, Any] = {"machine": machine(), "rows": []}
    for name, stored, dtype in product(options.cases, options.stored, options.dtypes):
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            source = CASES[name].source("2.2")
            published = Path(folder) / "published"
            own = published / CASES[name].component.rpartition("/")[2]
            own.mkdir(parents=True)
            config = {**source.config, **MODELS[options.model].get(own.name, {})}
            path = write_network(own, source.class_name, config, stored)
            report = {"components": {own.name: {"class": source.class_name}}}
            (published / "conversion.json").write_text(json.dumps(report), "utf-8")
            start = time.perf_counter()
            convert(published, "jax", Path(folder) / "converted", dtype=dtype)
            facts = {
                "case": name,
                "stored": stored,
                "dtype": dtype,
                "bytes": path.stat().st_size,
                "conversion": time.perf_counter() - start,
            }
            words = ["--cases", name, "--dtypes", dtype, "--folder", folder]
            # MindSpore refuses bfloat16 on a CPU.
            able = [side for side in sides if (side, dtype) != ("mindspore", "bfloat16")]
            for cache in options.caches:
                runs = run_in_turns(
                    "benchmarks.loading", able, [*words, "--caches", cache], options.turns
                )
                rows = {
                    side: min(own, key=lambda run: run["seconds"]) for side, own in runs.items()
                }
                entry = _related(
                    {**facts, "cache": cache, "load": machine()["load"], "sides": rows}
                )
                found["rows"].append(entry)
                sys.stderr.write(_lines(entry))
    return found


def _related(entry: dict[str, Any]) -> dict[str, Any]:
    """Add to each side its speed as a share of that of reading."""
    rows: Mapping[str, Any] = entry["sides"]
    for row in rows.values():
        if READING in rows:
            row["speed"] = rows[READING]["seconds"] / row["seconds"]
    return entry


def _lines(entry: Mapping[str, Any]) -> str:
    lines = [
        f"{CASES[entry['case']].name}, {entry['bytes'] / 1e9:.2f} GB in {entry['stored']}, "
        f"loaded in {entry['dtype']}, {entry['cache']} (load average {entry['load']}, "
        f"conversion {entry['conversion']:.1f} s)"
    ]
    for side, row in entry["sides"].items():
        lines.append(
            f"  {side:<22}{row['seconds']:>8.2f} s, of the processor{row['processor']:>8.2f}"
            f"  peak {row['peak_mib']:>6.0f} MiB"
            + (f"  {row['speed']:.2f} of the speed of reading" if "speed" in row else "")
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure one side (in a child process), or compare all."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.loading", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--model", default="full", choices=MODELS, help="full (default) or smaller")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=["unet"], metavar="CASE")
    parser.add_argument("--stored", nargs="+", default=["float32"], help="dtypes of the files")
    parser.add_argument("--caches", nargs="+", default=["cold", "warm"], choices=("cold", "warm"))
    parser.add_argument("--folder", type=Path, help="where the files are written (temporary)")
    add_comparison(parser, SIDES, tuple(SIDES))
    options = parser.parse_args()
    if options.side:
        finish_side(measure(options))
        return
    found = compare(options)
    found["machine"]["load_after"] = machine()["load"]
    for entry in found["rows"]:
        sys.stdout.write(_lines(entry))
    write_json(options.json, found)


if __name__ == "__main__":
    main()
