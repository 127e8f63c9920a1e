"""Compares MindSpore and PyTorch diffusers on a CPU: loading a UNet, and its guided steps.

    python -m benchmarks.mindspore_cpu --model medium --turns 3

MindSpore runs twice, operator by operator and compiled. A checkpoint of random weights is written
first (700 MB for `medium`, in a temporary folder). All sides load it, in turns, each in a process
of its own. The command prints a table with ratios to diffusers, or JSON with `--json`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from benchmarks.memory import PeakMemory
from benchmarks.turns import finish_side, machine, run_in_turns, summary, versions
from kandinsky_core.checkpoints.hub import EMBEDDED

PUBLISHED = Path(__file__).parents[1] / "tests" / "data" / "configs" / "2.2" / "unet.json"
SIDES = ("diffusers", "mindspore", "mindspore compiled")
_NEEDED = ("mindspore", "mindone", "torch", "diffusers")
# model -> (its config, the fields that change in it, the side of the latents)
MODELS: dict[str, tuple[Path, dict[str, Any], int]] = {
    "shapes": (EMBEDDED["shapes"] / "decoder" / "unet" / "config.json", {}, 16),
    "medium": (PUBLISHED, {"block_out_channels": [128, 256, 384, 512]}, 32),
}


def write_checkpoint(name: str, folder: Path) -> None:
    """Save a UNet of random weights in float32, as diffusers saves it."""
    import torch
    from diffusers import UNet2DConditionModel

    path, changes, _ = MODELS[name]
    settings = json.loads(path.read_text(encoding="utf-8")) | changes
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(settings)
    unet = unet.to_empty(device="cpu")
    for parameter in unet.parameters():
        parameter.data.normal_(0, 0.02)
    unet.save_pretrained(folder)


def measure_diffusers(folder: Path, latent: int, repeats: int) -> dict[str, Any]:
    """Load with `from_pretrained`, and time the network on the two rows of a guided step."""
    import torch
    from diffusers import UNet2DConditionModel

    start = time.perf_counter()
    with PeakMemory() as memory:
        unet = UNet2DConditionModel.from_pretrained(folder).eval()
    loading = time.perf_counter() - start
    sample = torch.randn((2, 4, latent, latent))
    embeds = torch.randn((2, unet.config.encoder_hid_dim))
    seconds = []
    with torch.no_grad():
        for index in range(repeats + 1):
            start = time.perf_counter()
            unet(sample, 999 - index, None, added_cond_kwargs={"image_embeds": embeds})
            seconds.append(time.perf_counter() - start)
    return _result(loading, memory, seconds, 0.0, versions("torch", "diffusers"))


def measure_mindspore(folder: Path, latent: int, repeats: int, compiled: bool) -> dict[str, Any]:
    """Load with the backend, and time guided steps, the schedule's arithmetic among them."""
    from kandinsky_core import DDPMScheduler, get_backend
    from kandinsky_core.checkpoints.safetensors_files import SafetensorsFiles
    from kandinsky_core.checkpoints.weight_files import find_weight_files
    from kandinsky_mindspore.runtime import mindone_class

    os.environ["KANDINSKY_MINDSPORE_DEVICE"] = "cpu"
    backend: Any = get_backend("mindspore", compile=compiled)
    mindone_class("UNet2DConditionModel")  # the import is no part of the load
    source = SimpleNamespace(
        class_name="UNet2DConditionModel",
        config=json.loads((folder / "config.json").read_text(encoding="utf-8")),
        tensors=lambda: SafetensorsFiles(find_weight_files(folder, None)),
    )
    start = time.perf_counter()
    with PeakMemory() as memory:
        unet = backend.load(source, "float32")
    loading = time.perf_counter() - start
    rng = np.random.default_rng(0)
    schedule = DDPMScheduler(beta_start=0.00085, beta_end=0.012).schedule(50)
    sample = rng.standard_normal((1, 4, latent, latent), np.float32)
    embeds = rng.standard_normal((2, unet.config.encoder_hid_dim), np.float32)
    run = unet.begin(sample, {"image_embeds": embeds}, 4.0)
    seconds = []
    for index in range(repeats + 1):
        start = time.perf_counter()
        run.step(float(schedule.timesteps[index]), schedule.rows[index], sample)
        run.read()
        seconds.append(time.perf_counter() - start)
    compiling = sum(entry.seconds for entry in backend.compilations)
    return _result(loading, memory, seconds, compiling, versions("mindspore", "mindone"))


def _result(
    loading: float,
    memory: PeakMemory,
    seconds: list[float],
    compiling: float,
    packages: dict[str, str],
) -> dict[str, Any]:
    return {
        "load": loading,
        "load_peak_mib": memory.peak,
        "load_kept_mib": memory.kept,
        "compile": compiling,
        "steps": seconds[1:],
        "versions": packages,
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", choices=MODELS, default="medium", help="which UNet (medium)")
    parser.add_argument("--repeats", type=int, default=5, help="timed steps a process (5)")
    parser.add_argument("--turns", type=int, default=3, help="processes of each side (3)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def _measure(options: argparse.Namespace) -> dict[str, Any]:
    """Measure one side in this process."""
    latent = MODELS[options.model][2]
    if options.side == "diffusers":
        return measure_diffusers(options.folder, latent, options.repeats)
    compiled = options.side == "mindspore compiled"
    return measure_mindspore(options.folder, latent, options.repeats, compiled)


def _compare(options: argparse.Namespace) -> dict[str, Any]:
    """Run all sides in turns, and return their figures with ratios to diffusers."""
    at_start = machine()
    words = ["--model", options.model, "--repeats", str(options.repeats), "--folder"]
    with tempfile.TemporaryDirectory(prefix="kandinsky-benchmark-") as folder:
        write_checkpoint(options.model, Path(folder))
        size = sum(file.stat().st_size for file in Path(folder).glob("*.safetensors"))
        found = run_in_turns("benchmarks.mindspore_cpu", SIDES, [*words, folder], options.turns)
    rows: dict[str, Any] = {}
    for side, runs in found.items():
        rows[side] = summary(runs) | {"load": min(run["load"] for run in runs)}
        for name in ("load_peak_mib", "load_kept_mib"):
            rows[side][name] = max(run[name] for run in runs)
    base = rows["diffusers"]
    ratios = {
        side: {name: rows[side][name] / base[name] for name in ("seconds_per_step", "load")}
        for side in SIDES[1:]
    }
    after = {"load_after": machine()["load"], "file_mib": size / 2**20}
    return {"model": options.model, **at_start, **after, "ratios": ratios, **rows}


def main() -> None:
    """Measure one side (in a child process), or compare all."""
    options = _arguments()
    if options.side:
        finish_side(_measure(options))
        return
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise SystemExit(
            f"both sides are needed, and {', '.join(missing)} is not installed: "
            'pip install -e ".[mindspore,test]"'
        )
    result = _compare(options)
    if options.json:
        sys.stdout.write(json.dumps(result, indent=2) + "\n")
        return
    sys.stdout.write(
        f"{result['model']} UNet, guided step, float32, file of {result['file_mib']:.0f} MiB; "
        f"{result['cores']} cores, load average {result['load']} to {result['load_after']}\n"
    )
    for side in SIDES:
        row = result[side]
        ratio = result["ratios"].get(side, {"seconds_per_step": 1, "load": 1})
        sys.stdout.write(
            f"{side:<18} {row['seconds_per_step']:.3f} s a step (median {row['median']:.3f}, "
            f"ratio {ratio['seconds_per_step']:.2f}), first {row['compile']:.1f} s; loads in "
            f"{row['load']:.2f} s (ratio {ratio['load']:.2f}), peak +{row['load_peak_mib']:.0f} "
            f"MiB; process {row['peak_gib']:.1f} GiB\n"
        )


if __name__ == "__main__":
    main()
