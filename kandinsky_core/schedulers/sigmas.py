"""Noise levels sigma = noise / signal: Karras et al. 2022 describe a diffusion by them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kandinsky_core.arrays import FloatArray
from kandinsky_core.errors import ConfigError, InvalidInputError
from kandinsky_core.schedulers.coefficients import ONE

__all__ = [
    "BETA_SIGMAS",
    "check_falling",
    "chosen_sigmas",
    "karras_sigmas",
    "require_ends",
    "require_one_choice",
    "sigma_table",
    "timesteps_of",
]

BETA_SIGMAS = "it needs SciPy; there is use_karras_sigmas"
"""Why no scheduler takes `use_beta_sigmas`."""

_CHOICES = ("use_karras_sigmas", "use_exponential_sigmas", "use_lu_lambdas")
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


def require_one_choice(scheduler: Any) -> None:
    """Refuse a scheduler two of whose fields choose the formula of its sigmas.

    Raises:
        ConfigError: Two are true.
    """
    chosen = [name for name in _CHOICES if getattr(scheduler, name, False)]
    if len(chosen) > 1:
        raise ConfigError(
            f"{type(scheduler).__name__}: {' and '.join(chosen)} are True: choose one of them"
        )


def require_ends(scheduler: Any) -> None:
    """Refuse a scheduler whose `sigma_min` does not lie below its `sigma_max`.

    Raises:
        ConfigError: It does not.
    """
    low = 1e-10 if scheduler.sigma_min is None else scheduler.sigma_min
    high = math.inf if scheduler.sigma_max is None else scheduler.sigma_max
    if not 0 < low < high:
        raise ConfigError(
            f"{type(scheduler).__name__}: sigma_min={scheduler.sigma_min!r} must be above 0 and"
            f" below sigma_max={scheduler.sigma_max!r}"
        )


def chosen_sigmas(
    scheduler: Any, largest: float, smallest: float, steps: int
) -> NDArray[np.float64] | None:
    """Return the sigmas of a loop by the formula that a scheduler's fields choose.

    Args:
        scheduler: The scheduler; it may lack some of the fields.
        largest: First sigma.
        smallest: Last sigma.
        steps: Number of sigmas.

    Returns:
        float64 [steps], falling; None where the timesteps decide.
    """
    if getattr(scheduler, "use_karras_sigmas", False):
        return karras_sigmas(largest, smallest, steps)
    # Lu et al. 2022 name half of log(signal / noise) lambda; it falls evenly where log(sigma) does.
    evenly = ("use_exponential_sigmas", "use_lu_lambdas")
    if any(getattr(scheduler, name, False) for name in evenly):
        falling: NDArray[np.float64] = np.exp(np.linspace(np.log(largest), np.log(smallest), steps))
        return falling
    return None


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
