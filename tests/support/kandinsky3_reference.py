"""The sampling of ai-forever/Kandinsky-3, transcribed to NumPy from its description.

Nothing of this library takes part: what a network predicts is the caller's, noise comes in order
from `draw`. Letters: abar is the share of the signal's variance at a timestep.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["FLASH", "abars", "flash", "guided", "sample", "spread", "times_of"]

Array = Any
Predict = Callable[[Array, int], Array]
Draw = Callable[[], Array]

FLASH = (979, 729, 479, 229)


def abars() -> Array:
    """Of the cosine schedule of 1000 steps: float32 numbers, to compute with in float64."""

    def level(time: float) -> float:
        return math.cos((time + 0.008) / 1.008 * math.pi / 2) ** 2

    betas = [min(1 - level((i + 1) / 1000) / level(i / 1000), 0.999) for i in range(1000)]
    table = np.cumprod(1 - np.asarray(betas, np.float32), dtype=np.float64)
    return table.astype(np.float32).astype(np.float64)


def times_of(steps: int) -> list[int]:
    """From the last timestep down while above 0; the distance is rounded up."""
    return list(range(999, 0, -1000 // steps))


def guided(conditional: Array, unconditional: Array, weight: float) -> Array:
    return (weight + 1) * conditional - weight * unconditional


def spread(here: Any, there: Any, eta: Any) -> tuple[Any, Any]:
    """A step's deviation of fresh noise, and its share of the predicted noise, in one precision.

    The share is NaN where rounding makes its square negative.
    """
    one = type(here)(1)
    sigma = np.sqrt(eta * (one - here / there) * (one - there) / (one - here))
    with np.errstate(invalid="ignore"):
        return sigma, np.sqrt(one - there - sigma * sigma)


def sample(
    predict: Predict,
    draw: Draw,
    times: list[int],
    percentile: float,
    eta: float = 1.0,
    single: bool = False,
) -> Array:
    """The usual loop: noise first, then one draw a step, of which the last has no use.

    `single` takes the share of the predicted noise in float32, as that code does.
    """
    table = abars()
    x = draw()
    for t, p in zip(times, [*times[1:], 0], strict=True):
        here, there = table[t], table[p]
        noise = predict(x.astype(np.float32), t)
        x0 = (x - np.sqrt(1 - here) * noise) / np.sqrt(here)
        limits = np.quantile(np.abs(x0).reshape(len(x0), -1), percentile, axis=1)
        limits = np.maximum(limits, 1).reshape(-1, 1, 1, 1)
        x0 = np.clip(x0, -limits, limits) / limits
        noise = (x - np.sqrt(here) * x0) / np.sqrt(1 - here)
        sigma, share = spread(here, there, eta)
        if single:
            rounded = spread(np.float32(here), np.float32(there), np.float32(eta))[1]
            share = share if np.isnan(rounded) else rounded
        x = np.sqrt(there) * x0 + share * noise
        fresh = draw()
        x = (x + sigma * fresh if p else x).astype(np.float32)
    return x


def flash(predict: Predict, draw: Draw) -> Array:
    """Four clean samples, each noised anew; two draws come before the first prediction."""
    table = abars()
    x0 = draw()
    for t in FLASH:
        x = np.sqrt(table[t]) * x0 + np.sqrt(1 - table[t]) * draw()
        x0 = (x - np.sqrt(1 - table[t]) * predict(x.astype(np.float32), t)) / np.sqrt(table[t])
    return x0
