"""The base of schedulers whose samples are original + sigma * noise (Karras et al. 2022).

Such samples do not preserve the variance: the network gets them scaled. The Kandinsky pipelines of
diffusers leave the scaling out, which makes their pictures pale. The pipelines here scale, and
their pictures are not pale.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from kandinsky_core.arrays import FloatArray
from kandinsky_core.schedulers.base import Scheduler
from kandinsky_core.schedulers.betas import BETA_SCHEDULES
from kandinsky_core.schedulers.coefficients import ONE
from kandinsky_core.schedulers.sigma_loop import SigmaLoop
from kandinsky_core.schedulers.sigmas import (
    BETA_SIGMAS,
    chosen_sigmas,
    require_one_choice,
    sigma_table,
    timesteps_of,
)
from kandinsky_core.schedulers.timesteps import TIMESTEP_SPACINGS, spaced_timesteps

__all__ = ["SIGMA_CHOICES", "SIGMA_REASONS", "SigmaScheduler", "input_scale", "sigma_x0_columns"]

SIGMA_CHOICES: dict[str, tuple[Any, ...]] = {
    "beta_schedule": BETA_SCHEDULES,
    "prediction_type": ("epsilon", "sample", "v_prediction"),
    "use_karras_sigmas": (False, True, None),
    "use_exponential_sigmas": (False, True, None),
    "use_beta_sigmas": (False, None),
    "timestep_spacing": TIMESTEP_SPACINGS,
}
SIGMA_REASONS = {"use_beta_sigmas": BETA_SIGMAS}


class SigmaScheduler(SigmaLoop, Scheduler):
    """The base of Euler's method and its relatives: which noise levels a loop visits."""

    terminal_alpha: ClassVar = 2.0**-24
    fractional: ClassVar = True
    _rounds: ClassVar[bool] = False  # whether timesteps of Karras sigmas are rounded

    def __post_init__(self) -> None:
        super().__post_init__()
        require_one_choice(self)

    def _levels(self, steps: int) -> tuple[FloatArray, FloatArray]:
        """Return timesteps [steps] and sigmas [steps + 1]; the last sigma lies behind all steps."""
        timesteps = self._timesteps(steps)
        sigmas = self._interpolated(timesteps)
        table = sigma_table(self.alphas_cumprod)
        largest, smallest = self._ends(sigmas)
        chosen = chosen_sigmas(self, largest, smallest, steps)
        if chosen is not None:
            sigmas, timesteps = chosen, timesteps_of(chosen, table).astype(np.float32)
            if self._rounds and self._field("use_karras_sigmas"):
                timesteps = timesteps.round()
        last = table[0] if self._field("final_sigmas_type") == "sigma_min" else 0
        return timesteps, np.append(sigmas, last).astype(np.float32)

    def _ends(self, sigmas: NDArray[Any]) -> tuple[float, float]:
        """Return the largest and the smallest sigma of a loop whose sigmas follow a formula."""
        return float(sigmas[0]), float(sigmas[-1])

    def _timesteps(self, steps: int) -> FloatArray:
        spacing, count = self._field("timestep_spacing"), self._field("num_train_timesteps")
        if spacing == "linspace":
            return np.linspace(0, count - 1, steps, dtype=np.float32)[::-1]
        spaced = spaced_timesteps(spacing, steps, count, self._field("steps_offset"))
        return spaced.astype(np.float32)

    def _interpolated(self, timesteps: NDArray[Any]) -> NDArray[np.float64]:
        table = sigma_table(self.alphas_cumprod)
        return np.interp(timesteps, np.arange(len(table)), table)

    def _first_noise(self, largest: float) -> float:
        """Return the factor of the initial noise of a loop that begins with the largest sigma."""
        leading = self._field("timestep_spacing") == "leading"
        return math.hypot(largest, 1) if leading else largest

    def _largest_noise(self) -> float:
        return self._first_noise(float(self._sigmas_of(len(self))[0]))

    def _sigmas_of(self, steps: int) -> FloatArray:
        return self._levels(steps)[1]

    def _trained_shares(self, times: NDArray[Any]) -> FloatArray:
        return self._shares_of(self._interpolated(times).astype(np.float32))

    def _shares_of(self, sigmas: FloatArray) -> FloatArray:
        return np.stack([np.ones_like(sigmas), sigmas], axis=1)

    @property
    def _scales(self) -> bool:
        return True


def input_scale(sigma: FloatArray) -> FloatArray:
    """Return what the network's input is multiplied by, so that its variance is 1."""
    scale: FloatArray = ONE / np.sqrt(sigma**2 + ONE)
    return scale


def sigma_x0_columns(
    prediction_type: str, sigma: FloatArray, clip: float = math.inf
) -> dict[str, FloatArray | float]:
    """Return the columns that turn the network's output into a clean sample.

    Args:
        prediction_type: `epsilon`, `sample` or `v_prediction`.
        sigma: [S], the noise of the samples that the network is given.
        clip: Largest magnitude of the clean sample; infinity does not clip.
    """
    if prediction_type == "sample":
        return {"x0_from_output": 1.0, "x0_clip": clip}
    if prediction_type == "epsilon":
        return {"x0_from_sample": 1.0, "x0_from_output": -sigma, "x0_clip": clip}
    square = sigma**2 + ONE
    return {
        "x0_from_sample": ONE / square,
        "x0_from_output": -sigma / np.sqrt(square),
        "x0_clip": clip,
    }
