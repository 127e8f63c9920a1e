"""DDPM (Ho et al. 2020): the scheduler of the Kandinsky 2.2 decoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from kandinsky_core.arrays import FloatArray
from kandinsky_core.schedulers.base import Scheduler
from kandinsky_core.schedulers.betas import BETA_SCHEDULES
from kandinsky_core.schedulers.coefficients import (
    ONE,
    posterior_columns,
    posterior_deviation,
    variance_preserving,
    x0_columns,
)
from kandinsky_core.schedulers.schedule import Schedule, make_rows
from kandinsky_core.schedulers.timestep_loop import TimestepLoop
from kandinsky_core.schedulers.timesteps import TIMESTEP_SPACINGS, check_steps, spaced_timesteps
from kandinsky_core.seam.step_rules import StepRule

__all__ = ["DDPMScheduler"]


@dataclass(frozen=True)
class DDPMScheduler(TimestepLoop, Scheduler):
    """`DDPMScheduler` of diffusers, with its arguments and defaults.

    With `variance_type="learned_range"` the network's output must have twice the sample's channels.
    Two values are not supported: with `learned` the second half would hold the variance itself,
    which no published network gives; `fixed_large_log` gives NaN in diffusers.
    """

    num_train_timesteps: int = 1000
    beta_start: float = 0.0001
    beta_end: float = 0.02
    beta_schedule: str = "linear"
    trained_betas: Sequence[float] | None = None
    variance_type: str = "fixed_small"
    clip_sample: bool = True
    prediction_type: str = "epsilon"
    thresholding: bool = False
    dynamic_thresholding_ratio: float = 0.995
    clip_sample_range: float = 1.0
    sample_max_value: float | None = 1.0
    timestep_spacing: str = "leading"
    steps_offset: int = 0
    rescale_betas_zero_snr: bool = False

    choices: ClassVar = {
        "beta_schedule": BETA_SCHEDULES,
        "variance_type": ("fixed_small", "fixed_small_log", "fixed_large", "learned_range"),
        "prediction_type": ("epsilon", "sample", "v_prediction"),
        "thresholding": (False, True),
        "timestep_spacing": TIMESTEP_SPACINGS,
        "rescale_betas_zero_snr": (False, True),
    }
    reasons: ClassVar = {
        "variance_type": "'learned' is for no published network, 'fixed_large_log' gives NaN"
    }

    def schedule(self, num_inference_steps: int, start: int = 0) -> Schedule:
        """Return the steps of one loop; see `Scheduler.schedule`.

        A step leads to the next timestep of the list; the last step leads to the clean sample.
        Noise is drawn wherever the timestep is above 0. With `steps_offset=1` that includes the
        last step, where the noise has a scale of 1e-10.
        """
        count = self.num_train_timesteps
        steps, start = check_steps(num_inference_steps, start, count)
        timesteps = spaced_timesteps(self.timestep_spacing, steps, count, self.steps_offset)[start:]
        return self.between(timesteps, np.append(timesteps[1:], -1))

    def between(self, timesteps: NDArray[Any], following: NDArray[Any]) -> Schedule:
        """Return steps between pairs of timesteps; below 0 is the clean sample."""
        alpha = self.alphas_cumprod[timesteps]
        alpha_next = np.where(following >= 0, self.alphas_cumprod[following], ONE)
        step_alpha = alpha / alpha_next
        beta = ONE - step_alpha
        draws = timesteps > 0
        noising = variance_preserving(alpha)
        rows = make_rows(
            len(timesteps),
            **x0_columns(self.prediction_type, noising, self._x0_limit),
            **posterior_columns(alpha, alpha_next, step_alpha, beta),
            **self._deviation_columns(alpha, alpha_next, beta, draws),
        )
        rule = StepRule(self.variance_type == "learned_range", self._threshold)
        return Schedule(timesteps=timesteps, rows=rows, draws=draws, noising=noising, rule=rule)

    def _single(self, timestep: int) -> Schedule:
        following = int(self.previous_timestep(timestep))
        return self.between(np.array([timestep]), np.array([following]))

    def _deviation_columns(
        self,
        alpha: FloatArray,
        alpha_next: FloatArray,
        beta: FloatArray,
        draws: NDArray[np.bool_],
    ) -> dict[str, NDArray[Any]]:
        log = self.variance_type == "fixed_small_log"
        small = posterior_deviation(alpha, alpha_next, beta, via_logarithm=log)
        large = np.sqrt(beta)
        if self.variance_type == "learned_range":
            return {
                "noise_scale": draws,
                "log2_deviation_low": np.log2(small),
                "log2_deviation_high": np.log2(large),
            }
        chosen = large if self.variance_type == "fixed_large" else small
        return {"noise_scale": np.where(draws, chosen, 0)}
