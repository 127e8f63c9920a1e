"""Linear multistep: Adams-Bashforth over the sigmas (Crowson's k-diffusion)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from kandinsky_core.errors import InvalidInputError
from kandinsky_core.schedulers.quadrature import interpolation_weights
from kandinsky_core.schedulers.registers import Forms, arrays, rows_with_registers
from kandinsky_core.schedulers.schedule import Schedule, make_rows
from kandinsky_core.schedulers.sigma_scheduler import (
    SIGMA_CHOICES,
    SIGMA_REASONS,
    SigmaScheduler,
    input_scale,
    sigma_x0_columns,
)
from kandinsky_core.schedulers.sigmas import check_falling
from kandinsky_core.schedulers.step_output import SchedulerOutput
from kandinsky_core.schedulers.timesteps import check_steps
from kandinsky_core.seam.step_rules import StepRule

__all__ = ["LMSDiscreteScheduler"]

_ORDER = 4


@dataclass(frozen=True)
class LMSDiscreteScheduler(SigmaScheduler):
    """`LMSDiscreteScheduler` of diffusers, with its arguments and defaults; of order 4."""

    num_train_timesteps: int = 1000
    beta_start: float = 0.0001
    beta_end: float = 0.02
    beta_schedule: str = "linear"
    trained_betas: Sequence[float] | None = None
    use_karras_sigmas: bool | None = False
    use_exponential_sigmas: bool | None = False
    use_beta_sigmas: bool | None = False
    prediction_type: str = "epsilon"
    timestep_spacing: str = "linspace"
    steps_offset: int = 0

    choices: ClassVar[dict[str, tuple[Any, ...]]] = SIGMA_CHOICES
    reasons: ClassVar = SIGMA_REASONS

    def schedule(self, num_inference_steps: int, start: int = 0) -> Schedule:
        """Return the steps of one loop; see `Scheduler.schedule`.

        The first step is Euler's, since no earlier slope exists; the order rises with the steps.
        Image to image in diffusers takes the full order at once, with slopes that it does not have.
        """
        steps, start = check_steps(num_inference_steps, start, self.num_train_timesteps)
        timesteps, sigmas = self._levels(steps)
        check_falling(sigmas[:-1])
        taken = sigmas[start:].astype(np.float64)
        sigma = sigmas[start:-1]
        rows = make_rows(
            steps - start,
            **sigma_x0_columns(self.prediction_type, sigma),
            input_scale=input_scale(sigma),
        )
        forms = [_form(taken, index) for index in range(steps - start)]
        return Schedule(
            timesteps=timesteps[start:],
            rows=rows_with_registers(rows, forms),
            draws=np.zeros(steps - start, bool),
            noising=self._shares_of(sigma),
            init_noise_sigma=self._first_noise(float(sigmas[0])),
            rule=StepRule(registers=_ORDER - 1),
        )

    def step(  # type: ignore[override]  # order stands where diffusers has it
        self,
        model_output: Any,
        timestep: Any,
        sample: Any,
        order: int = _ORDER,
        return_dict: bool = True,
    ) -> SchedulerOutput | tuple[Any, ...]:
        """Take one step of a hand-written loop; see `HandLoop.step`.

        Args:
            model_output: See `HandLoop.step`.
            timestep: See `HandLoop.step`.
            sample: See `HandLoop.step`.
            order: Must be 4.
            return_dict: See `HandLoop.step`.

        Raises:
            InvalidInputError: See `HandLoop.step`; or `order` is not 4.
        """
        if order != _ORDER:
            raise InvalidInputError(f"order={order!r} is not supported: leave it at {_ORDER}")
        return super().step(model_output, timestep, sample, return_dict=return_dict)


def _form(sigmas: NDArray[np.float64], index: int) -> Forms:
    """Return the step that begins with sigma number `index`; registers hold slopes, newest first.

    The slope as a polynomial through the last slopes is integrated from this sigma to the next.
    """
    a = arrays(_ORDER - 1)
    slopes = ((a.sample - a.x0) / sigmas[index], *a.registers)
    order = min(index + 1, _ORDER)
    following = a.sample
    # measured from this sigma on, in units of the step, so that powers keep their digits
    end = sigmas[index + 1] - sigmas[index]
    known = (sigmas[index - order + 1 : index + 1][::-1] - sigmas[index]) / end
    weights = interpolation_weights(known, 1 / np.arange(1.0, order + 1))
    for weight, slope in zip(weights, slopes, strict=False):
        following = following + weight * end * slope
    return Forms(following, slopes[: _ORDER - 1])
