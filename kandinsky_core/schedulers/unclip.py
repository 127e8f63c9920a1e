"""The unCLIP variant of DDPM (Karlo; Ramesh et al. 2022): the scheduler of the Kandinsky priors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from kandinsky_core.errors import InvalidInputError
from kandinsky_core.schedulers.base import Scheduler
from kandinsky_core.schedulers.coefficients import (
    ONE,
    posterior_columns,
    posterior_deviation,
    variance_preserving,
    x0_columns,
)
from kandinsky_core.schedulers.hand_step import NoiseSource, take_step
from kandinsky_core.schedulers.outside_arrays import scalar
from kandinsky_core.schedulers.schedule import Schedule, make_rows
from kandinsky_core.schedulers.step_output import SchedulerOutput
from kandinsky_core.schedulers.timestep_loop import TimestepLoop
from kandinsky_core.schedulers.timesteps import check_steps

__all__ = ["UnCLIPScheduler"]


@dataclass(frozen=True)
class UnCLIPScheduler(TimestepLoop, Scheduler):
    """`UnCLIPScheduler` of diffusers, with its arguments and defaults.

    Learned variances are not supported, since no prior predicts one.
    """

    num_train_timesteps: int = 1000
    variance_type: str = "fixed_small_log"
    clip_sample: bool = True
    clip_sample_range: float = 1.0
    prediction_type: str = "epsilon"
    beta_schedule: str = "squaredcos_cap_v2"

    interchangeable: ClassVar = False
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
        return self._steps(timesteps, following, draws=following >= 0)

    def _steps(
        self, timesteps: NDArray[Any], following: NDArray[Any], draws: NDArray[np.bool_]
    ) -> Schedule:
        """Return steps between pairs of timesteps; below 0 is the clean sample."""
        alpha = self.alphas_cumprod[timesteps]
        alpha_next = np.where(following >= 0, self.alphas_cumprod[following], ONE)
        # between neighbours the reference reads beta from the table, which rounds it differently
        adjacent = following == timesteps - 1
        beta = np.where(adjacent, self.betas[timesteps], ONE - alpha / alpha_next)
        deviation = posterior_deviation(alpha, alpha_next, beta, via_logarithm=True)
        noising = variance_preserving(alpha)
        rows = make_rows(
            len(timesteps),
            **x0_columns(self.prediction_type, noising, self._x0_limit),
            **posterior_columns(alpha, alpha_next, ONE - beta, beta),
            noise_scale=np.where(draws, deviation, 0),
        )
        return Schedule(timesteps=timesteps, rows=rows, draws=draws, noising=noising)

    def step(  # type: ignore[override]  # prev_timestep stands where diffusers has it
        self,
        model_output: Any,
        timestep: Any,
        sample: Any,
        prev_timestep: Any = None,
        generator: Any = None,
        return_dict: bool = True,
    ) -> SchedulerOutput | tuple[Any, ...]:
        """Take one step of a hand-written loop; see `HandLoop.step`.

        Args:
            model_output: See `HandLoop.step`.
            timestep: Any training timestep.
            sample: See `HandLoop.step`.
            prev_timestep: Where the step leads; None takes the training timestep below, as in
                diffusers. A loop over `timesteps` gives the next entry, and None at the last.
            generator: See `HandLoop.step`.
            return_dict: See `HandLoop.step`.

        Raises:
            InvalidInputError: See `HandLoop.step`; or `prev_timestep` does not lie below.
        """
        begin = self._checked(timestep)
        below = begin - 1 if prev_timestep is None else scalar("prev_timestep", prev_timestep)
        if below != int(below) or not -1 <= below < begin:
            raise InvalidInputError(
                f"prev_timestep={prev_timestep!r}: give an integer from -1 to {begin - 1}"
            )
        schedule = self._steps(np.array([begin]), np.array([int(below)]), np.array([begin > 0]))
        noise = NoiseSource(generator)
        following, clean, _ = take_step(schedule, 0, model_output, sample, None, noise)
        result = SchedulerOutput(following, clean)
        return result if return_dict else result.to_tuple()

    def _single(self, timestep: int) -> Schedule:
        return self._steps(np.array([timestep]), np.array([timestep - 1]), np.array([timestep > 0]))
