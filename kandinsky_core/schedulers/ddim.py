"""DDIM (Song et al. 2020): the scheduler of the Kandinsky 2.1 decoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from kandinsky_core.arrays import FloatArray
from kandinsky_core.schedulers.base import Scheduler
from kandinsky_core.schedulers.betas import BETA_SCHEDULES
from kandinsky_core.schedulers.coefficients import ONE, variance_preserving, x0_columns
from kandinsky_core.schedulers.schedule import Schedule, make_rows
from kandinsky_core.schedulers.timesteps import TIMESTEP_SPACINGS, check_steps, spaced_timesteps
from kandinsky_core.seam.step_rules import StepRule

__all__ = ["DDIMScheduler"]


@dataclass(frozen=True)
class DDIMScheduler(Scheduler):
    """`DDIMScheduler` of diffusers, with its arguments and defaults.

    diffusers takes `eta` at each step, but its Kandinsky pipelines give no way to pass it. Here it
    belongs to the scheduler: `DDIMScheduler.from_config(pipe.scheduler.config, eta=0.5)`. The
    config shows it where it is not 0. `use_clipped_model_output` is not supported.

    Attributes:
        eta: Share of fresh noise, from 0 (nothing is drawn) to 1 (as much as DDPM).
    """

    num_train_timesteps: int = 1000
    beta_start: float = 0.0001
    beta_end: float = 0.02
    beta_schedule: str = "linear"
    trained_betas: Sequence[float] | None = None
    clip_sample: bool = True
    set_alpha_to_one: bool = True
    steps_offset: int = 0
    prediction_type: str = "epsilon"
    thresholding: bool = False
    dynamic_thresholding_ratio: float = 0.995
    clip_sample_range: float = 1.0
    sample_max_value: float | None = 1.0
    timestep_spacing: str = "leading"
    rescale_betas_zero_snr: bool = False
    eta: float = field(default=0.0, kw_only=True)

    choices: ClassVar = {
        "beta_schedule": BETA_SCHEDULES,
        "prediction_type": ("epsilon", "sample", "v_prediction"),
        "thresholding": (False, True),
        "timestep_spacing": TIMESTEP_SPACINGS,
        "rescale_betas_zero_snr": (False, True),
    }

    def schedule(self, num_inference_steps: int, start: int = 0) -> Schedule:
        """Return the steps of one loop; see `Scheduler.schedule`.

        A step leads `num_train_timesteps // num_inference_steps` timesteps down, as in diffusers,
        even where the next entry of the list lies elsewhere (`linspace`, `trailing`).
        """
        count = self.num_train_timesteps
        steps, start = check_steps(num_inference_steps, start, count)
        timesteps = spaced_timesteps(self.timestep_spacing, steps, count, self.steps_offset)[start:]
        following = timesteps - count // steps
        final = ONE if self.set_alpha_to_one else self.alphas_cumprod[0]
        alpha = self.alphas_cumprod[timesteps]
        alpha_next = np.where(following >= 0, self.alphas_cumprod[following], final)
        variance = (ONE - alpha_next) / (ONE - alpha) * (ONE - alpha / alpha_next)
        deviation = np.float32(self.eta) * np.sqrt(variance)
        towards_noise = np.sqrt(ONE - alpha_next - deviation**2)
        noising = variance_preserving(alpha)
        rows = make_rows(
            len(timesteps),
            **x0_columns(self.prediction_type, noising, self._x0_limit),
            **_noise_columns(self.prediction_type, noising, towards_noise),
            mean_from_x0=np.sqrt(alpha_next),
            noise_scale=deviation,
        )
        draws = np.full(len(timesteps), self.eta > 0)
        rule = StepRule(threshold=self._threshold)
        return Schedule(timesteps=timesteps, rows=rows, draws=draws, noising=noising, rule=rule)


def _noise_columns(
    prediction_type: str, shares: FloatArray, weight: FloatArray
) -> dict[str, FloatArray]:
    """Return the columns that add weight * predicted noise; the clipping of x0 leaves it alone."""
    signal, noise = shares.T
    if prediction_type == "epsilon":
        return {"mean_from_output": weight}
    if prediction_type == "sample":
        return {"mean_from_sample": weight / noise, "mean_from_output": -weight * signal / noise}
    return {"mean_from_sample": weight * noise, "mean_from_output": weight * signal}
