"""The unCLIP variant of DDPM (Karlo; Ramesh et al. 2022): the scheduler of the Kandinsky priors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from kandinsky_core.schedulers.base import Scheduler
from kandinsky_core.schedulers.coefficients import (
    ONE,
    posterior_columns,
    posterior_deviation,
    variance_preserving,
    x0_columns,
)
from kandinsky_core.schedulers.schedule import Schedule, make_rows
from kandinsky_core.schedulers.timesteps import check_steps

__all__ = ["UnCLIPScheduler"]


@dataclass(frozen=True)
class UnCLIPScheduler(Scheduler):
    """`UnCLIPScheduler` of diffusers, with its arguments and defaults.

    Learned variances are not supported, since no prior predicts one.
    """

    num_train_timesteps: int = 1000
    variance_type: str = "fixed_small_log"
    clip_sample: bool = True
    clip_sample_range: float = 1.0
    prediction_type: str = "epsilon"
    beta_schedule: str = "squaredcos_cap_v2"

    choices: ClassVar = {
        "variance_type": ("fixed_small_log",),
        "prediction_type": ("epsilon", "sample"),
        "beta_schedule": ("squaredcos_cap_v2",),
    }
    reasons: ClassVar = {"variance_type": "no prior predicts a variance"}

    def schedule(self, num_inference_steps: int, start: int = 0) -> Schedule:
        """Return the steps of one loop; see `Scheduler.schedule`.

        Timesteps run evenly from the last training timestep to 0. Each step leads to the next
        entry, as the prior pipelines ask for; the last step draws no noise and leads to the clean
        sample. A single step divides by zero in diffusers; here it goes from timestep 999 straight
        to the clean sample.
        """
        count = self.num_train_timesteps
        steps, start = check_steps(num_inference_steps, start, count)
        if steps == 1:
            timesteps = np.array([count - 1])
        else:
            rising = (np.arange(steps) * ((count - 1) / (steps - 1))).round()
            timesteps = rising[::-1].astype(np.int64)[start:]
        following = np.append(timesteps[1:], -1)
        alpha = self.alphas_cumprod[timesteps]
        alpha_next = np.append(alpha[1:], ONE)
        # between neighbours the reference reads beta from the table, which rounds it differently
        adjacent = following == timesteps - 1
        beta = np.where(adjacent, self.betas[timesteps], ONE - alpha / alpha_next)
        draws = following >= 0
        deviation = posterior_deviation(alpha, alpha_next, beta, via_logarithm=True)
        noising = variance_preserving(alpha)
        rows = make_rows(
            len(timesteps),
            **x0_columns(self.prediction_type, noising, self._x0_limit),
            **posterior_columns(alpha, alpha_next, ONE - beta, beta),
            noise_scale=np.where(draws, deviation, 0),
        )
        return Schedule(timesteps=timesteps, rows=rows, draws=draws, noising=noising)
