"""Measures memory and time of Kandinsky 3's text encoder when it is read block by block.

    python -m benchmarks.t5_streaming --folder DIR

The encoder has full width and random weights in the published precision (float16, `wo` float32).
All 32 blocks take 21 GB in DIR, each block 0.7 GB; these files are removed at the end. Each backend
runs in a process of its own, which encodes one prompt and then three. `peak MiB` is the growth of
anonymous memory since the imports: windows into files, which the system may drop, do not count.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.memory import PeakMemory
from benchmarks.turns import machine
from kandinsky_converters.manifests import Manifest, manifests
from kandinsky_converters.writers import write_safetensors
from kandinsky_core.arrays import Array

TEXT_ENCODER = "kandinsky-3/text_encoder"
# side -> backend, dtype
SIDES = {
    "jax, bfloat16": ("jax", "bfloat16"),
    "jax, float32": ("jax", "float32"),
    "mindspore, float32": ("mindspore", "float32"),
}


def published() -> Manifest:
    """Return the manifest of the published text encoder."""
    return next(entry for entry in manifests("3.0") if entry.name == TEXT_ENCODER)


def make_folder(folder: Path, layers: int) -> None:
    """Write the text encoder, cut to so many blocks."""
    manifest = published()
    folder.mkdir(parents=True)
    config = {**manifest.config, "num_layers": layers}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    specs = {
        name: (shape, dtype)
        for name, (dtype, shape) in manifest.tensors.items()
        if not name.startswith("encoder.block.") or int(name.split(".")[2]) < layers
    }
    rng = np.random.default_rng(0)
    # Tensors repeat these numbers: to draw numbers for all would take longer than the benchmark.
    noise = (rng.standard_normal(2**22, np.float32) / 64).astype(np.float16)

    def random(name: str) -> Array:
        shape, dtype = specs[name]
        values: Array = np.resize(noise, shape) + np.float16(len(shape) == 1)  # norms about 1
        return values.astype(np.float32) if dtype == "F32" else values

    write_safetensors(folder / "model.safetensors", specs, random, {"format": "pt"})


def run_side(side: str, folder: Path) -> dict[str, Any]:
    """Encode one prompt, then three, and return seconds and memory."""
    from kandinsky_core import get_backend
    from kandinsky_core.checkpoints.checkpoint import Component

    name, dtype = SIDES[side]
    backend = get_backend(name)
    encoder = backend.load_streamed(
        Component("text_encoder", "transformers", "T5EncoderModel", folder), dtype
    )
    ids = np.random.default_rng(1).integers(0, 32000, (3, 128)).astype(np.int32)
    mask = np.arange(128)[None] < np.array([[20], [128], [60]])
    seconds = []
    with PeakMemory() as memory:
        for count in (1, 3):
            start = time.perf_counter()
            states = encoder.encode(ids[:count], mask[:count])
            seconds.append(time.perf_counter() - start)
    return {
        "finite": bool(np.isfinite(states).all()),
        "seconds_one": seconds[0],
        "seconds_three": seconds[1],
        "peak_mib": memory.peak,
        "kept_mib": memory.kept,
    }


def main() -> None:
    """Run all sides whose framework is installed, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="0.7 GB of room for each block")
    parser.add_argument("--layers", type=int, default=32, help="blocks (32, all)")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    folder = options.folder / "t5-benchmark"
    if options.side:
        sys.stdout.write(json.dumps(run_side(options.side, folder)) + "\n")
        return
    found: dict[str, Any] = {"machine": machine(), "layers": options.layers}
    try:
        make_folder(folder, options.layers)
        found["file_mib"] = (folder / "model.safetensors").stat().st_size / 2**20
        for side, (backend, _) in SIDES.items():
            if find_spec(backend) is None:
                continue
            command = [sys.executable, "-m", "benchmarks.t5_streaming", "--side", side]
            done = subprocess.run(
                [*command, "--folder", str(options.folder)],
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
            found[side] = json.loads(done.stdout.splitlines()[-1])
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    sys.stdout.write(json.dumps(found, indent=2) + "\n" if options.json else _table(found))


def _table(found: dict[str, Any]) -> str:
    lines = [f"{found['layers']} blocks, a file of {found['file_mib']:.0f} MiB"]
    lines += [f"{'':<22}{'peak MiB':>10}{'kept MiB':>10}{'one, s':>8}{'three, s':>10}"]
    lines += [
        f"{side:<22}{row['peak_mib']:>10.0f}{row['kept_mib']:>10.0f}"
        f"{row['seconds_one']:>8.1f}{row['seconds_three']:>10.1f}"
        for side, row in found.items()
        if side in SIDES
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
