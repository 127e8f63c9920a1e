"""Measures memory and time of converting the full-size Kandinsky 2.2 UNet.

    python -m benchmarks.convert --folder DIR

DIR needs 25 GB; the files there have random weights and are removed at the end. Each step runs in a
process of its own. `peak MiB` is the growth of anonymous memory since the imports: windows into
files do not count. `python -m benchmarks.loading` measures what a conversion gains in loading.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.memory import PeakMemory
from benchmarks.turns import machine
from kandinsky_converters.manifests import manifests
from kandinsky_converters.writers import write_safetensors
from kandinsky_core.arrays import Array

UNET = "kandinsky-2-2-decoder/unet"
MIB = 2**20
# step -> (the folder that it converts, target layout, dtype)
CONVERSIONS = {
    "to jax": ("original", "jax", None),
    "to jax, bfloat16": ("original", "jax", "bfloat16"),
    "to mindspore": ("original", "mindspore", None),
    "back from jax": ("to jax", "diffusers", None),
    "back from mindspore": ("to mindspore", "diffusers", None),
}


def make_original(folder: Path) -> None:
    """Write a folder with the UNet alone, as a conversion would."""
    manifest = next(entry for entry in manifests("2.2") if entry.name == UNET)
    (folder / "unet").mkdir(parents=True)
    config = {"_class_name": manifest.class_name, **manifest.config}
    (folder / "unet" / "config.json").write_text(json.dumps(config), encoding="utf-8")
    report = {"components": {"unet": {"class": manifest.class_name}}}
    (folder / "conversion.json").write_text(json.dumps(report), encoding="utf-8")
    specs = {name: (shape, dtype) for name, (dtype, shape) in manifest.tensors.items()}
    rng = np.random.default_rng(0)

    def random(name: str) -> Array:
        values: Array = rng.random(specs[name][0], np.float32)
        return values

    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    write_safetensors(path, specs, random, {"format": "pt"})


def run_step(name: str, folder: Path) -> dict[str, Any]:
    """Do one step in this process and measure it."""
    from kandinsky_converters.convert import convert

    source, target, dtype = CONVERSIONS[name]
    start = time.perf_counter()
    with PeakMemory() as memory:
        convert(folder / source, target, folder / name, dtype=dtype)
    return {"seconds": time.perf_counter() - start, "peak_mib": memory.peak}


def limits() -> Mapping[str, float]:
    """Return the MiB of all weights in float32, and of the largest tensor."""
    manifest = next(entry for entry in manifests("2.2") if entry.name == UNET)
    sizes = [4 * math.prod(shape) for _, shape in manifest.tensors.values()]
    return {"weights_mib": sum(sizes) / MIB, "largest_mib": max(sizes) / MIB}


def main() -> None:
    """Run all conversions, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="25 GB of room")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--step", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        sys.stdout.write(json.dumps(run_step(options.step, options.folder)) + "\n")
        return
    folder = options.folder / "convert-benchmark"
    found: dict[str, Any] = {"machine": machine(), **limits()}
    try:
        make_original(folder / "original")
        for step in CONVERSIONS:
            command = [sys.executable, "-m", "benchmarks.convert", "--step", step]
            done = subprocess.run(
                [*command, "--folder", str(folder)], stdout=subprocess.PIPE, text=True, check=True
            )
            found[step] = json.loads(done.stdout.splitlines()[-1])
            if step.startswith("back"):
                same = _same(folder / "original", folder / step)
                found[step]["bit for bit"] = same
                shutil.rmtree(folder / step)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    sys.stdout.write(json.dumps(found, indent=2) + "\n" if options.json else _table(found))


def _same(first: Path, second: Path) -> bool:
    name = "unet/diffusion_pytorch_model.safetensors"
    return subprocess.run(["cmp", "-s", str(first / name), str(second / name)]).returncode == 0


def _table(found: Mapping[str, Any]) -> str:
    lines = [f"weights {found['weights_mib']:.0f} MiB, largest {found['largest_mib']:.0f} MiB"]
    lines += [f"{'step':<34}{'seconds':>8}{'peak MiB':>10}"]
    for step in CONVERSIONS:
        if step in found:
            row = found[step]
            lines.append(
                f"{step:<34}{row['seconds']:>8.1f}{row['peak_mib']:>10.0f}"
                + ("  bit for bit" if row.get("bit for bit") else "")
            )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
