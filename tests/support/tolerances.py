"""The one table of tolerances: what tests compare with a reference, and how far apart it may be.

A tolerance is near what is measured, so that a change which costs exactness fails. Half precision
has no row: there a network's error is compared with PyTorch's own error in that dtype.

`pytest -m "slow or not slow" -rP` and `--log-cli-level=INFO` show what the tests measure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

__all__ = ["HALF_PRECISION", "TOLERANCES", "Tolerance", "allowed"]


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far two results may be apart.

    Attributes:
        compared: What, and with what.
        by: `relative` is the L2 norm of the difference over that of the reference; `largest` is the
            largest difference, of pictures in [0, 1]; `step` is the largest difference over the
            largest value of a schedule's steps; `elementwise` is relative to each value.
        allowed: The limit.
        measured: The largest that was seen on any backend; None where it was not noted.
        dtype: What both compute in.
    """

    compared: str
    by: Literal["relative", "largest", "step", "elementwise"]
    allowed: float
    measured: float | None
    dtype: str = "float32"


TOLERANCES: Mapping[str, Tolerance] = {
    # Networks of small random weights, with diffusers and transformers.
    "jax clip": Tolerance("CLIP's text and image encoders", "relative", 1.5e-6, 4.8e-7),
    "jax prior": Tolerance("the prior", "relative", 2e-6, 3.4e-7),
    "jax unnormalised": Tolerance("the prior's embedding, unnormalised", "relative", 1e-7, None),
    "jax unet": Tolerance("the UNet of 2.2", "relative", 4e-6, 1.7e-6),
    "jax movq": Tolerance("MoVQ, encoder and decoder", "relative", 4e-6, 1.4e-6),
    "mindspore clip": Tolerance("CLIP's text and image encoders", "relative", 1.5e-6, 7e-7),
    "mindspore prior": Tolerance("the prior", "relative", 1e-6, 4e-7),
    "mindspore unet": Tolerance("the UNet of 2.2", "relative", 5e-6, 2.1e-6),
    "mindspore movq": Tolerance("MoVQ, encoder and decoder", "relative", 3e-6, 1.2e-6),
    "conditioned unet": Tolerance("UNets with a picture or a hint", "relative", 6e-6, 4.4e-6),
    "kept latents": Tolerance("what inpainting puts back, with NumPy", "largest", 1e-6, None),
    "2.1 text": Tolerance("2.1's text encoder", "relative", 1e-6, 3e-7),
    "2.1 padding": Tolerance("2.1's text encoder with and without padding", "largest", 1e-5, None),
    "2.1 clip": Tolerance("2.1's CLIP encoders", "relative", 1e-6, 6e-7),
    "2.1 unet": Tolerance("2.1's UNet, guided", "relative", 5e-6, 2.5e-6),
    "2.0 text": Tolerance("2.0's text encoders", "relative", 3e-6, 1.2e-6),
    "2.0 unet": Tolerance("2.0's UNets", "relative", 4e-6, 1.6e-6),
    "2.0 vae": Tolerance("2.0's autoencoder", "relative", 6e-6, 2.7e-6),
    "3 unet": Tolerance("Kandinsky 3's UNet", "relative", 5e-6, 2.7e-6),
    # Guidance multiplies the errors of its two rows. 1.1e-5 is that of a picture prompt on a
    # processor with AVX2 alone; others have 4e-6.
    "3 guided unet": Tolerance("Kandinsky 3's UNet, guided", "relative", 2e-5, 1.1e-5),
    # 1.05e-5 is of a processor with AVX2 alone; others have 3.6e-6.
    "3 controlnet": Tolerance("Kandinsky 3's UNet with its branch", "relative", 1.5e-5, 1.05e-5),
    # Guided, with a picture prompt beside the branch; on a processor with AVX2 alone.
    "3 controlnet, guided": Tolerance("the same, guided by a picture", "relative", 3e-5, 1.94e-5),
    "3 controlnet latents": Tolerance("its latents after a step", "relative", 2e-5, 9.5e-6),
    "super resolution unet": Tolerance("KandiSuperRes' UNet", "relative", 3e-6, 1.2e-6),
    "super resolution latents": Tolerance("its latents after each step", "largest", 1.5e-5, 5e-6),
    "super resolution movq": Tolerance("its MoVQ in tiles", "largest", 3e-5, 1e-5),
    "super resolution picture": Tolerance("its pictures", "largest", 2e-4, 7.7e-5),
    "ip image encoder": Tolerance("the IP-Adapter's image encoder", "relative", 1e-6, 3.6e-7),
    "ip latents": Tolerance("latents after steps with an IP-Adapter", "largest", 4e-4, 1.7e-4),
    "3 t5": Tolerance("T5's encoder", "relative", 1.5e-6, 8e-7),
    "3 t5 bfloat16": Tolerance(
        "T5 with PyTorch's in float32", "relative", 1.5e-2, None, "bfloat16"
    ),
    "3 t5 in blocks": Tolerance("T5 block by block, with all of it", "relative", 5e-7, None),
    "sums of lora": Tolerance("weights with adapters", "elementwise", 1e-5, None),
    "8 bits": Tolerance(
        "T5 and UNets with weights in 8 bits, with full ones", "relative", 8e-2, 3.8e-2
    ),
    "small surface": Tolerance("pictures' arrays, and noise", "largest", 1e-6, 1e-7),
    "merged lora": Tolerance("a merged LoRA, with its branches", "relative", 3e-6, 5e-7),
    # Pipelines, with diffusers'. The project promises pictures within 1e-3.
    "picture": Tolerance("2.2's pictures, all tasks, both models", "largest", 1e-4, 2.4e-5),
    "latents": Tolerance("2.2's latents after several steps", "relative", 5e-5, None),
    "embeddings": Tolerance("the priors' image embeddings", "relative", 1e-5, None),
    "user script": Tolerance("pictures of users' scripts", "largest", 5e-4, 2.1e-4),
    "2.1 picture": Tolerance("2.1's pictures, all tasks", "largest", 5e-5, 2e-5),
    # Random weights multiply the last bits, which depend on the number of threads too.
    "2.0 latents": Tolerance("2.0's latents, over their largest", "step", 3e-5, 1e-5),
    "3 picture": Tolerance("Kandinsky 3's pictures, all tasks", "largest", 2e-4, 1e-4),
    "3 embeddings": Tolerance("Kandinsky 3's encoded prompts", "largest", 1e-5, None),
    "3 flash latents": Tolerance("Flash's latents, whose values grow", "relative", 1e-5, None),
    "3 picture alone": Tolerance("a picture of several, with it alone", "largest", 2e-5, None),
    "3 picture in blocks": Tolerance("with T5 streamed, and at once", "largest", 5e-5, None),
    "golden picture": Tolerance("`shapes`, with a file in float16", "largest", 1e-3, 2.5e-4),
    "hint": Tolerance("depth hints, with the model card's code", "largest", 1e-6, None),
    # Tables and random numbers, with diffusers and PyTorch.
    "randn": Tolerance("`Generator`, with `torch.randn`", "largest", 1e-6, 7.2e-7),
    "schedule": Tolerance("samples over up to 100 steps", "step", 2e-6, 1.2e-6),
    "schedule of 1000": Tolerance("samples over 1000 steps", "step", 1e-5, 5.1e-6),
    "rescaled schedule": Tolerance("samples without terminal signal", "step", 1.1e-5, 9e-6),
    "betas": Tolerance("betas that were rescaled", "largest", 3e-6, None),
    "alphas": Tolerance("products of alphas", "largest", 5e-7, None),
    "noised near zero": Tolerance("noised samples, besides", "largest", 5e-7, None),
    "noised": Tolerance("noised samples", "elementwise", 2e-6, None),
    "solvers": Tolerance("samples of solvers", "step", 3e-6, 2.1e-6),
    "sigmas": Tolerance("noise levels of loops", "elementwise", 2e-6, None),
    # Explicit methods of high order multiply the last bits at each step.
    "loops by hand": Tolerance("samples of loops written by hand", "step", 1e-5, 8.8e-6),
    "solvers' noise": Tolerance("samples that solvers noised", "step", 7e-7, 4.9e-7),
    # Float32 timesteps of Karras sigmas, where the last place of 999 is 6e-5.
    "solvers' timesteps": Tolerance("timesteps between whole ones", "largest", 3e-4, 1.8e-4),
    "solvers' first noise": Tolerance("`init_noise_sigma`", "elementwise", 4e-7, None),
}
"""Every tolerance by its name in the tests."""

HALF_PRECISION: Mapping[str, float] = {"jax": 1.25, "mindspore": 1.5}
"""In float16 and bfloat16, how many times PyTorch's error in the same dtype a backend may have.

Measured: 0.9 on JAX, 1.1 to 1.4 on MindSpore.
"""


def allowed(name: str) -> float:
    """Return the limit of a row of `TOLERANCES`."""
    return TOLERANCES[name].allowed
