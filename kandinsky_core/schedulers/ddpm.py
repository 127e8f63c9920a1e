"""DDPM (Ho et al. 2020): the scheduler of the Kandinsky 2.2 decoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from kandinsky_core.schedulers.base import Scheduler
from kandinsky_core.schedulers.betas import BETA_SCHEDULES
from kandinsky_core.schedulers.coefficients import (
    ONE,
    posterior_columns,
    posterior_deviation,
    x0_columns,
)
from kandinsky_core.schedulers.schedule import Schedule, make_rows
from kandinsky_core.schedulers.timesteps import TIMESTEP_SPACINGS, check_steps, spaced_timesteps

__all__ = ["DDPMScheduler"]


@dataclass(frozen=True)
class DDPMScheduler(Scheduler):
    """`DDPMScheduler` of diffusers, with its arguments and defaults.

    Not supported: learned variances (no published 2.2 config asks for one), `fixed_large_log` (NaN
    in diffusers), dynamic thresholding, betas rescaled to zero terminal SNR.
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
        "variance_type": ("fixed_small", "fixed_small_log", "fixed_large"),
        "prediction_type": ("epsilon", "sample", "v_prediction"),
        "thresholding": (False,),
        "timestep_spacing": TIMESTEP_SPACINGS,
        "rescale_betas_zero_snr": (False,),
    }

    def schedule(self, num_inference_steps: int, start: int = 0) -> Schedule:
        """Return the steps of one loop; see `Scheduler.schedule`.

        A step leads to the next timestep of the list, the last one to the clean sample. Noise is
        drawn wherever the timestep is above 0: with `steps_offset=1` also at the last step, with a
        scale of 1e-10.
        """
        count = self.num_train_timesteps
        steps, start = check_steps(num_inference_steps, start, count)
        timesteps = spaced_timesteps(self.timestep_spacing, steps, count, self.steps_offset)[start:]
        alpha = self.alphas_cumprod[timesteps]
        alpha_next = np.append(alpha[1:], ONE)
        step_alpha = alpha / alpha_next
        beta = ONE - step_alpha
        if self.variance_type == "fixed_large":
            deviation = np.sqrt(beta)
        else:
            log = self.variance_type == "fixed_small_log"
            deviation = posterior_deviation(alpha, alpha_next, beta, via_logarithm=log)
        draws = timesteps > 0
        rows = make_rows(
            len(timesteps),
            **x0_columns(self.prediction_type, alpha, self._x0_limit),
            **posterior_columns(alpha, alpha_next, step_alpha, beta),
            noise_scale=np.where(draws, deviation, 0),
        )
        return Schedule(timesteps=timesteps, rows=rows, draws=draws)
