"""Measures what weights in 8 bits change: the output of the UNet of `shapes`, and its pictures.

    python -m tools.shapes.evaluate_quantized --prompts 48

The UNet's outputs are compared with those in float32, at some timesteps. Pictures of the same
prompts and seeds are compared pixel by pixel, and each set is judged by its pixels: what share
shows the colour, ground, kind and position that the prompt names? bfloat16 stands beside it, as a
change that users know.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import numpy as np

from kandinsky_core import AutoPipelineForText2Image
from tools.shapes.judge import judge
from tools.shapes.prompts import ATTRIBUTES, Prompt, check, evaluation_prompts

FORMS: dict[str, dict[str, str]] = {
    "float32": {},
    "float32, int8": {"quantize": "int8"},
    "bfloat16": {"dtype": "bfloat16"},
    "bfloat16, int8": {"dtype": "bfloat16", "quantize": "int8"},
}
BATCH = 8


def outputs(unet: Any) -> Any:
    """Return the UNet's outputs for random samples: one for each of four timesteps."""
    random = np.random.default_rng(0)
    sample = random.standard_normal((1, 4, 8, 8)).astype(np.float32)
    embeds = random.standard_normal((1, unet.config.encoder_hid_dim)).astype(np.float32)
    told = {"encoder_hidden_states": None, "added_cond_kwargs": {"image_embeds": embeds}}
    return np.stack([unet(sample, time, **told).sample for time in (999, 700, 400, 100)])


def pictures(pipe: Any, prompts: list[Prompt], steps: int) -> list[Any]:
    """Return a picture of each prompt, with a seed of its own."""
    found: list[Any] = []
    for start in range(0, len(prompts), BATCH):
        texts = [prompt.text for prompt in prompts[start : start + BATCH]]
        seeds = list(range(start, start + len(texts)))
        found += pipe(texts, seed=seeds, num_inference_steps=steps).images
    return found


def main() -> None:
    """Print a line for each form of the weights."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--prompts", type=int, default=48)
    parser.add_argument("--steps", type=int, default=25)
    options = parser.parse_args()
    prompts = evaluation_prompts(options.prompts, seed=1)
    first: tuple[Any, Any] | None = None
    for name, form in FORMS.items():
        pipe: Any = AutoPipelineForText2Image.from_pretrained("shapes", backend="jax", **form)
        pipe.set_progress_bar_config(disable=True)
        drawn = pictures(pipe, prompts, options.steps)
        given, pixels = outputs(pipe.unet), np.stack([np.asarray(one, float) for one in drawn])
        first = first or (given, pixels)
        error = np.linalg.norm(given - first[0]) / np.linalg.norm(first[0])
        deviation = np.abs(pixels - first[1]).mean() / 255
        right = [check(judge(one), prompt) for one, prompt in zip(drawn, prompts, strict=True)]
        shares = {kind: np.mean([result[kind] for result in right]) for kind in ATTRIBUTES}
        sys.stdout.write(
            f"{name:15} {pipe.unet.get_memory_footprint():>10,} bytes, output {error:.1e}, pixels "
            f"{deviation:.4f} in [0, 1], right: "
            + ", ".join(f"{kind} {share:.3f}" for kind, share in shares.items())
            + "\n"
        )
        sys.stdout.flush()


if __name__ == "__main__":
    main()
