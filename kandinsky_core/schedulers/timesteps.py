"""Which training timesteps a loop of S steps visits (Lin et al. 2023, table 2)."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kandinsky_core.errors import InvalidInputError

__all__ = ["TIMESTEP_SPACINGS", "check_steps", "solver_timesteps", "spaced_timesteps"]

TIMESTEP_SPACINGS = ("leading", "linspace", "trailing")


def check_steps(num_inference_steps: Any, start: Any, num_train_timesteps: int) -> tuple[int, int]:
    """Return both numbers as plain integers.

    Raises:
        InvalidInputError: The number of steps is no integer from 1 to `num_train_timesteps`, or
            `start` is no integer from 0 to one less than the number of steps.
    """
    steps = _integer(num_inference_steps)
    if steps is None or not 1 <= steps <= num_train_timesteps:
        raise InvalidInputError(
            f"num_inference_steps={num_inference_steps!r}:"
            f" give an integer from 1 to {num_train_timesteps}"
        )
    first = _integer(start)
    if first is None or not 0 <= first < steps:
        raise InvalidInputError(
            f"start={start!r}: with {steps} steps, give an integer from 0 to {steps - 1}"
        )
    return steps, first


def spaced_timesteps(
    spacing: str, steps: int, num_train_timesteps: int, steps_offset: int
) -> NDArray[np.int64]:
    """Return the timesteps of a loop, int64 [steps], falling.

    For 62 of the step counts up to 1000 (61, 103, ...) `trailing` in diffusers 0.39 has one entry
    more than asked for. That entry is timestep -1, which reads the last alpha; it is left out here.

    Raises:
        InvalidInputError: `leading` with its offset reaches beyond the last training timestep.
    """
    timesteps: NDArray[Any]
    if spacing == "leading":
        ratio = num_train_timesteps // steps
        timesteps = np.arange(steps)[::-1] * ratio + steps_offset
    elif spacing == "linspace":
        timesteps = np.linspace(0, num_train_timesteps - 1, steps).round()[::-1]
    else:
        falling = np.arange(num_train_timesteps, 0, -num_train_timesteps / steps)[:steps]
        timesteps = falling.round() - 1
    return _within(timesteps, num_train_timesteps, steps_offset)


def solver_timesteps(
    spacing: str, steps: int, num_train_timesteps: int, steps_offset: int
) -> NDArray[np.int64]:
    """Return the timesteps of a loop of DPM-Solver, int64 [steps], falling.

    Here `linspace` and `leading` cut the way down to timestep 0 into equal parts. They leave
    timestep 0 out, while `spaced_timesteps` visits it.

    Raises:
        InvalidInputError: As `spaced_timesteps` raises.
    """
    timesteps: NDArray[Any]
    if spacing == "leading":
        ratio = num_train_timesteps // (steps + 1)
        timesteps = np.arange(steps, 0, -1) * ratio + steps_offset
    elif spacing == "linspace":
        timesteps = np.linspace(0, num_train_timesteps - 1, steps + 1).round()[:0:-1]
    else:
        return spaced_timesteps(spacing, steps, num_train_timesteps, steps_offset)
    return _within(timesteps, num_train_timesteps, steps_offset)


def _within(timesteps: NDArray[Any], count: int, offset: int) -> NDArray[np.int64]:
    if timesteps[0] >= count:
        raise InvalidInputError(
            f"num_inference_steps={len(timesteps)} with steps_offset={offset} reaches timestep"
            f" {timesteps[0]}, the last one is {count - 1}: use fewer steps"
        )
    return timesteps.astype(np.int64)


def _integer(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None
