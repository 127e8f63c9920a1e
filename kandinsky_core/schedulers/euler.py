"""Euler's method and its ancestral variant (Karras et al. 2022; Crowson's k-diffusion)."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from kandinsky_core.arrays import FloatArray
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.schedulers.betas import BETA_SCHEDULES
from kandinsky_core.schedulers.schedule import Schedule, make_rows
from kandinsky_core.schedulers.sigma_scheduler import (
    SIGMA_CHOICES,
    SIGMA_REASONS,
    SigmaScheduler,
    input_scale,
    sigma_x0_columns,
)
from kandinsky_core.schedulers.sigmas import check_falling, require_ends
from kandinsky_core.schedulers.step_output import SchedulerOutput
from kandinsky_core.schedulers.timesteps import TIMESTEP_SPACINGS, check_steps

__all__ = ["EulerAncestralDiscreteScheduler", "EulerDiscreteScheduler"]


class _EulerScheduler(SigmaScheduler):
    """The base of both schedulers: everything but where a step goes and what it draws."""

    _draws: ClassVar[bool]

    def schedule(self, num_inference_steps: int, start: int = 0) -> Schedule:
        """Return the steps of one loop; see `Scheduler.schedule`.

        Timesteps are float32, since those of `linspace` and of Karras sigmas can be fractions.
        """
        steps, start = check_steps(num_inference_steps, start, self._field("num_train_timesteps"))
        timesteps, sigmas = self._levels(steps)
        check_falling(sigmas[:-1])
        sigma, sigma_next = sigmas[start:-1], sigmas[start + 1 :]
        target, fresh = self._targets(sigma, sigma_next)
        rows = make_rows(
            steps - start,
            **sigma_x0_columns(self._field("prediction_type"), sigma),
            mean_from_sample=target / sigma,
            mean_from_x0=(sigma - target) / sigma,
            noise_scale=fresh,
            input_scale=input_scale(sigma),
        )
        return Schedule(
            timesteps=timesteps[start:],
            rows=rows,
            draws=np.full(steps - start, self._draws),
            noising=self._shares_of(sigma),
            init_noise_sigma=self._first_noise(float(sigmas[0])),
        )

    @abstractmethod
    def _targets(self, sigma: FloatArray, sigma_next: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return two sigmas, each [S]: where Euler's step goes, and of the noise drawn there."""


@dataclass(frozen=True)
class EulerDiscreteScheduler(_EulerScheduler):
    """`EulerDiscreteScheduler` of diffusers, with its arguments and defaults.

    The arguments of its `step` that add noise (`s_churn` and its siblings) are not supported.
    """

    num_train_timesteps: int = 1000
    beta_start: float = 0.0001
    beta_end: float = 0.02
    beta_schedule: str = "linear"
    trained_betas: Sequence[float] | None = None
    prediction_type: str = "epsilon"
    interpolation_type: str = "linear"
    use_karras_sigmas: bool | None = False
    use_exponential_sigmas: bool | None = False
    use_beta_sigmas: bool | None = False
    sigma_min: float | None = None
    sigma_max: float | None = None
    timestep_spacing: str = "linspace"
    timestep_type: str = "discrete"
    steps_offset: int = 0
    rescale_betas_zero_snr: bool = False
    final_sigmas_type: str = "zero"

    choices: ClassVar = SIGMA_CHOICES | {
        "interpolation_type": ("linear",),
        "timestep_type": ("discrete",),
        "rescale_betas_zero_snr": (False, True),
        "final_sigmas_type": ("zero", "sigma_min"),
    }
    reasons: ClassVar = SIGMA_REASONS | {
        "interpolation_type": "it gives one sigma too many in diffusers",
        "timestep_type": "Kandinsky's networks are told timesteps of training",
    }
    _draws: ClassVar = False

    def __post_init__(self) -> None:
        super().__post_init__()
        require_ends(self)

    def _targets(self, sigma: FloatArray, sigma_next: FloatArray) -> tuple[FloatArray, FloatArray]:
        return sigma_next, np.zeros_like(sigma)

    def _ends(self, sigmas: NDArray[Any]) -> tuple[float, float]:
        largest, smallest = super()._ends(sigmas)
        return (
            largest if self.sigma_max is None else self.sigma_max,
            smallest if self.sigma_min is None else self.sigma_min,
        )

    def step(  # type: ignore[override]  # the arguments of diffusers stand in its order
        self,
        model_output: Any,
        timestep: Any,
        sample: Any,
        s_churn: float = 0.0,
        s_tmin: float = 0.0,
        s_tmax: float = math.inf,
        s_noise: float = 1.0,
        generator: Any = None,
        return_dict: bool = True,
    ) -> SchedulerOutput | tuple[Any, ...]:
        """Take one step of a hand-written loop; see `HandLoop.step`.

        Args:
            model_output: See `HandLoop.step`.
            timestep: See `HandLoop.step`.
            sample: See `HandLoop.step`.
            s_churn: Must be 0: no noise is added within a step.
            s_tmin: Without effect, as `s_churn` is 0.
            s_tmax: Without effect.
            s_noise: Without effect.
            generator: Without effect.
            return_dict: See `HandLoop.step`.

        Raises:
            InvalidInputError: See `HandLoop.step`; or `s_churn` is not 0.
        """
        if s_churn != 0:
            raise InvalidInputError(
                f"s_churn={s_churn!r} is not supported: use EulerAncestralDiscreteScheduler to draw"
                " noise at each step"
            )
        return super().step(model_output, timestep, sample, generator, return_dict=return_dict)


@dataclass(frozen=True)
class EulerAncestralDiscreteScheduler(_EulerScheduler):
    """`EulerAncestralDiscreteScheduler` of diffusers, with its arguments and defaults."""

    num_train_timesteps: int = 1000
    beta_start: float = 0.0001
    beta_end: float = 0.02
    beta_schedule: str = "linear"
    trained_betas: Sequence[float] | None = None
    prediction_type: str = "epsilon"
    timestep_spacing: str = "linspace"
    steps_offset: int = 0
    rescale_betas_zero_snr: bool = False

    choices: ClassVar = {
        "beta_schedule": BETA_SCHEDULES,
        "prediction_type": ("epsilon", "v_prediction"),
        "timestep_spacing": TIMESTEP_SPACINGS,
        "rescale_betas_zero_snr": (False, True),
    }
    reasons: ClassVar = {"prediction_type": "diffusers does not define it here"}
    _draws: ClassVar = True

    def _targets(self, sigma: FloatArray, sigma_next: FloatArray) -> tuple[FloatArray, FloatArray]:
        fresh = np.sqrt(sigma_next**2 * (sigma**2 - sigma_next**2) / sigma**2)
        return np.sqrt(sigma_next**2 - fresh**2), fresh
