"""How much noise each training timestep adds: the beta schedules.

Values equal PyTorch's float32 tables bit for bit: `torch.linspace` computes from both ends with one
rounding, and `torch.cumprod` accumulates in float64. Formulas: DDPM (Ho et al. 2020), latent
diffusion (scaled linear), Nichol and Dhariwal 2021 (cosine).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from kandinsky_core.arrays import FloatArray

__all__ = ["BETA_SCHEDULES", "alphas_cumprod", "beta_table", "without_terminal_signal"]

BETA_SCHEDULES = ("linear", "scaled_linear", "squaredcos_cap_v2")
_LARGEST_BETA = 0.999
_COSINE_OFFSET = 0.008


def beta_table(
    schedule: str, start: float, end: float, count: int, trained: Sequence[float] | None = None
) -> FloatArray:
    """Return the betas of all training timesteps, float32 [count].

    Args:
        schedule: One of `BETA_SCHEDULES`; the caller has checked it.
        start: First beta; the cosine schedule ignores it.
        end: Last beta; the cosine schedule ignores it.
        count: Number of training timesteps.
        trained: Betas that replace the formula.
    """
    if trained is not None:
        return np.asarray(trained, np.float32)
    if schedule == "linear":
        return _linspace(start, end, count)
    if schedule == "scaled_linear":
        return _linspace(start**0.5, end**0.5, count) ** 2
    bars = [_cosine_bar(index / count) for index in range(count + 1)]
    betas = [min(1 - bars[i + 1] / bars[i], _LARGEST_BETA) for i in range(count)]
    return np.asarray(betas, np.float32)


def alphas_cumprod(betas: FloatArray) -> FloatArray:
    """Return the share of signal variance left after each timestep, float32 [count]."""
    alphas = np.float32(1) - betas
    return np.cumprod(alphas, dtype=np.float64).astype(np.float32)


def without_terminal_signal(betas: FloatArray) -> FloatArray:
    """Return betas whose last timestep is pure noise: algorithm 1 of Lin et al. 2023.

    The roots of the alphas are shifted down so that the last one is 0, and stretched so that the
    first one stays as it was.
    """
    roots = np.sqrt(alphas_cumprod(betas))
    roots = (roots - roots[-1]) * (roots[0] / (roots[0] - roots[-1]))
    bars = roots**2
    return np.float32(1) - np.append(bars[:1], bars[1:] / bars[:-1])


def _cosine_bar(time: float) -> float:
    return math.cos((time + _COSINE_OFFSET) / (1 + _COSINE_OFFSET) * math.pi / 2) ** 2


def _linspace(start: float, end: float, count: int) -> FloatArray:
    low, high = np.float32(start), np.float32(end)
    if count == 1:
        return np.array([low], np.float32)
    width = float((high - low) / np.float32(count - 1))
    index = np.arange(count)
    # float64 holds the products exactly enough for a single rounding, as a fused multiply-add has
    rising = float(low) + width * index
    falling = float(high) - width * (count - 1 - index)
    return np.where(index < count // 2, rising, falling).astype(np.float32)
