"""Noise levels sigma = noise / signal: Karras et al. 2022 describe a diffusion by them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kandinsky_core.arrays import FloatArray
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.schedulers.coefficients import ONE

__all__ = ["check_falling", "karras_sigmas", "sigma_table", "timesteps_of"]

_RHO = 7.0
_SMALLEST_SIGMA = 1e-10


def sigma_table(alphas_cumprod: FloatArray) -> FloatArray:
    """Return the sigma of each training timestep, rising, float32 of the same shape."""
    table: FloatArray = np.sqrt((ONE - alphas_cumprod) / alphas_cumprod)
    return table


def karras_sigmas(largest: float, smallest: float, steps: int) -> NDArray[np.float64]:
    """Return sigmas whose 7th roots fall evenly, float64 [steps]: formula 5 of Karras et al."""
    high, low = largest ** (1 / _RHO), smallest ** (1 / _RHO)
    falling: NDArray[np.float64] = (high + np.linspace(0, 1, steps) * (low - high)) ** _RHO
    return falling


def check_falling(sigmas: NDArray[Any]) -> None:
    """Refuse a loop whose noise does not fall at each step; `sigmas` has one for each timestep.

    Raises:
        InvalidInputError: There are so many steps that one timestep would be visited twice. Or the
            betas are rescaled to no terminal signal, and a neighbour's sigma exceeds the last one.
    """
    if (np.diff(sigmas) >= 0).any():
        raise InvalidInputError(
            f"num_inference_steps={len(sigmas)}: the noise does not fall at each step, or a"
            " timestep is visited twice: use fewer steps"
        )


def timesteps_of(sigmas: NDArray[Any], table: FloatArray) -> NDArray[np.float64]:
    """Return the timesteps of sigmas, float64 [S], interpolated between the entries of `table`.

    The interpolation is linear in log(sigma). A sigma outside the table gets its first or last
    timestep.
    """
    if len(table) == 1:
        return np.zeros(len(sigmas))
    # compared in float32, so that the largest sigma is found although powers have rounded it
    wanted = np.log(np.maximum(sigmas, _SMALLEST_SIGMA)).astype(np.float32)
    known = np.log(table)
    # the last entry that is not above the sigma: with betas rescaled to no terminal signal the
    # table's last entry can be below its neighbours
    low = np.where(known <= wanted[:, None], np.arange(len(known)), 0).max(axis=1)  # [S, N] -> [S]
    low = low.clip(0, len(known) - 2)
    share = ((known[low] - wanted) / (known[low] - known[low + 1])).clip(0, 1)
    timesteps: NDArray[np.float64] = (1 - share) * low + share * (low + 1)
    return timesteps
