"""DDIM (Song et al. 2020): the scheduler of the Kandinsky 2.1 decoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from kandinsky_core.arrays import FloatArray
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.schedulers.base import Scheduler
from kandinsky_core.schedulers.betas import BETA_SCHEDULES
from kandinsky_core.schedulers.coefficients import ONE, variance_preserving, x0_columns
from kandinsky_core.schedulers.hand_step import NoiseSource, take_step
from kandinsky_core.schedulers.outside_arrays import scalar
from kandinsky_core.schedulers.schedule import Schedule, make_rows
from kandinsky_core.schedulers.step_output import SchedulerOutput
from kandinsky_core.schedulers.timestep_loop import TimestepLoop
from kandinsky_core.schedulers.timesteps import TIMESTEP_SPACINGS, check_steps, spaced_timesteps
from kandinsky_core.seam.step_rules import StepRule

__all__ = ["DDIMScheduler"]


@dataclass(frozen=True)
class DDIMScheduler(TimestepLoop, Scheduler):
    """`DDIMScheduler` of diffusers, with its arguments and defaults.

    diffusers takes `eta` at each step, but its Kandinsky pipelines give no way to pass it. Here it
    belongs to the scheduler: `DDIMScheduler.from_config(pipe.scheduler.config, eta=0.5)`. The
    config shows it where it is not 0. A `step` of a hand-written loop takes it, too.

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
        return self.between(timesteps, timesteps - count // steps, self.eta)

    def between(
        self, timesteps: NDArray[Any], following: NDArray[Any], eta: float, clipped: bool = False
    ) -> Schedule:
        """Return steps between pairs of timesteps.

        Args:
            timesteps: Where each step begins, [S].
            following: Where it leads, [S]; below 0 is the clean sample.
            eta: See the class.
            clipped: Whether the noise is predicted anew from the clipped clean sample.
        """
        final = ONE if self.set_alpha_to_one else self.alphas_cumprod[0]
        alpha = self.alphas_cumprod[timesteps]
        alpha_next = np.where(following >= 0, self.alphas_cumprod[following], final)
        variance = (ONE - alpha_next) / (ONE - alpha) * (ONE - alpha / alpha_next)
        deviation = np.float32(eta) * np.sqrt(variance)
        towards_noise = np.sqrt(ONE - alpha_next - deviation**2)
        noising = variance_preserving(alpha)
        rows = make_rows(
            len(timesteps),
            **x0_columns(self.prediction_type, noising, self._x0_limit),
            **(
                _renewed_noise_columns(noising, towards_noise, np.sqrt(alpha_next))
                if clipped
                else _noise_columns(self.prediction_type, noising, towards_noise)
                | {"mean_from_x0": np.sqrt(alpha_next)}
            ),
            noise_scale=deviation,
        )
        draws = np.full(len(timesteps), eta > 0)
        rule = StepRule(threshold=self._threshold)
        return Schedule(timesteps=timesteps, rows=rows, draws=draws, noising=noising, rule=rule)

    def step(  # type: ignore[override]  # eta stands where diffusers has it
        self,
        model_output: Any,
        timestep: Any,
        sample: Any,
        eta: float | None = None,
        use_clipped_model_output: bool = False,
        generator: Any = None,
        variance_noise: Any = None,
        return_dict: bool = True,
    ) -> SchedulerOutput | tuple[Any, ...]:
        """Take one step of a hand-written loop; see `HandLoop.step`.

        Args:
            model_output: See `HandLoop.step`.
            timestep: Any training timestep: steps may be taken in any order.
            sample: See `HandLoop.step`.
            eta: Share of fresh noise, from 0 to 1; None takes the scheduler's own.
            use_clipped_model_output: Predict the noise anew from the clipped clean sample.
            generator: See `HandLoop.step`.
            variance_noise: See `HandLoop.step`.
            return_dict: See `HandLoop.step`.

        Raises:
            InvalidInputError: See `HandLoop.step`; or `eta` is out of range.
        """
        share = self.eta if eta is None else scalar("eta", eta)
        if not 0 <= share <= 1:
            raise InvalidInputError(f"eta={eta!r}: give a number from 0 to 1")
        schedule = self._single(self._checked(timestep), share, use_clipped_model_output)
        noise = NoiseSource(generator, variance_noise)
        following, clean, _ = take_step(schedule, 0, model_output, sample, None, noise)
        result = SchedulerOutput(following, clean)
        return result if return_dict else result.to_tuple()

    def _single(self, timestep: int, eta: float | None = None, clipped: bool = False) -> Schedule:
        pace = self.num_train_timesteps // self._running().steps
        share = self.eta if eta is None else eta
        return self.between(np.array([timestep]), np.array([timestep - pace]), share, clipped)


def _renewed_noise_columns(
    shares: FloatArray, weight: FloatArray, signal_next: FloatArray
) -> dict[str, FloatArray]:
    """Return the columns that add weight * the noise that belongs to the clipped clean sample."""
    signal, noise = shares.T
    return {
        "mean_from_sample": weight / noise,
        "mean_from_x0": signal_next - weight * signal / noise,
    }


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
