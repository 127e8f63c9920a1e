"""One guided step of the full-size Kandinsky 2.2 UNet, ours and diffusers', with random weights.

    python -m benchmarks.unet_step --size 512 --repeats 3

Each side runs in a process of its own, in turns, so that neither profits from a warmer machine.
Prints a table with the ratio, and JSON with `--json`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.turns import finish_side, machine, run_in_turns, summary, versions

FULL_SIZE = Path(__file__).parents[1] / "tests" / "data" / "configs" / "2.2" / "unet.json"
SIDES = ("jax", "diffusers")


def measure_jax(settings: dict[str, Any], latent: int, repeats: int, dtype: str) -> dict[str, Any]:
    """Build our UNet with random weights and time guided steps."""
    import jax
    import jax.numpy as jnp
    from flax import nnx

    from backends.jax.denoise import JaxDenoiser
    from backends.jax.load import abstract_network
    from backends.jax.places import OneDevice
    from backends.jax.unet import UNet2DConditionModel
    from kandinsky_core.compilations import CompilationLog
    from kandinsky_core.configs import UNet2DConditionConfig
    from kandinsky_core.schedulers import DDPMScheduler

    config = UNet2DConditionConfig.from_dict(settings)
    graph, state = nnx.split(abstract_network(UNet2DConditionModel, config, dtype=dtype))
    rng = np.random.default_rng(0)

    def random(leaf: Any) -> jax.Array:
        values = rng.standard_normal(leaf.shape, np.float32) * np.float32(0.02)
        return jnp.asarray(values, dtype)

    module = nnx.merge(graph, jax.tree.map(random, state))
    log = CompilationLog()
    denoiser = JaxDenoiser(module, config, place=OneDevice(jax.local_devices()[0]), log=log)
    schedule = DDPMScheduler(beta_start=0.00085, beta_end=0.012).schedule(50)
    sample = rng.standard_normal((1, 4, latent, latent), np.float32)
    embeds = rng.standard_normal((2, config.encoder_hid_dim), np.float32)
    run = denoiser.begin(sample, {"image_embeds": embeds}, 4.0)
    seconds = []
    for index in range(repeats + 1):
        start = time.perf_counter()
        run.step(float(schedule.timesteps[index]), schedule.rows[index], sample)
        jax.block_until_ready(run._sample)
        seconds.append(time.perf_counter() - start)
    compiling = sum(entry.seconds for entry in log)
    return {"compile": compiling, "steps": seconds[1:], "versions": versions("jax", "flax")}


def measure_diffusers(
    settings: dict[str, Any], latent: int, repeats: int, dtype: str
) -> dict[str, Any]:
    """The same with PyTorch diffusers, eager."""
    import torch
    from diffusers import UNet2DConditionModel

    kind = getattr(torch, dtype)
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(settings)
    unet = unet.to(kind).to_empty(device="cpu").eval()
    for parameter in unet.parameters():
        parameter.data.normal_(0, 0.02)
    sample = torch.randn((2, 4, latent, latent), dtype=kind)
    embeds = torch.randn((2, settings["encoder_hid_dim"]), dtype=kind)
    seconds = []
    with torch.no_grad():
        for index in range(repeats + 1):
            start = time.perf_counter()
            unet(sample, 999 - index, None, added_cond_kwargs={"image_embeds": embeds})
            seconds.append(time.perf_counter() - start)
    return {"compile": 0.0, "steps": seconds[1:], "versions": versions("torch", "diffusers")}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--size", type=int, default=512, help="pixels of a side (512)")
    parser.add_argument("--repeats", type=int, default=3, help="timed steps a process (3)")
    parser.add_argument("--turns", type=int, default=2, help="processes of each side (2)")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument(
        "--config", type=Path, default=FULL_SIZE, help="the UNet's config.json (the published one)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    return parser.parse_args()


def _compare(options: argparse.Namespace) -> dict[str, Any]:
    """Run both sides in turns, each in its own process."""
    at_start = machine()
    words = ["--size", str(options.size), "--repeats", str(options.repeats)]
    words += ["--dtype", options.dtype, "--config", str(options.config)]
    found = run_in_turns("benchmarks.unet_step", SIDES, words, options.turns)
    rows = {side: summary(runs) for side, runs in found.items()}
    ratio = rows["jax"]["seconds_per_step"] / rows["diffusers"]["seconds_per_step"]
    return {"size": options.size, "dtype": options.dtype, "ratio": ratio, **at_start, **rows}


def main() -> None:
    """Measure one side (in a child process), or compare both."""
    options = _arguments()
    if options.side:
        measure = measure_jax if options.side == "jax" else measure_diffusers
        settings = json.loads(options.config.read_text(encoding="utf-8"))
        finish_side(measure(settings, options.size // 8, options.repeats, options.dtype))
        return
    result = _compare(options)
    if options.json:
        sys.stdout.write(json.dumps(result, indent=2) + "\n")
        return
    sys.stdout.write(f"2.2 UNet, guided step, {options.size} px, {options.dtype}\n")
    for side in SIDES:
        row = result[side]
        sys.stdout.write(
            f"{side:<10} {row['seconds_per_step']:6.2f} s a step (median {row['median']:.2f}), "
            f"first call {row['compile']:.1f} s, peak {row['peak_gib']:.1f} GiB\n"
        )
    sys.stdout.write(f"ratio      {result['ratio']:6.2f}\n")


if __name__ == "__main__":
    main()
