"""Euler's method and its ancestral variant (Karras et al. 2022; Crowson's k-diffusion).

The samples of these schedulers are original + sigma * noise, so they do not preserve the variance:
the network gets them scaled. The Kandinsky pipelines of diffusers leave the scaling out, which
makes their pictures pale. The pipelines here scale, and their pictures are not pale.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from kandinsky_core.arrays import FloatArray
from kandinsky_core.errors import ConfigError
from kandinsky_core.schedulers.base import Scheduler
from kandinsky_core.schedulers.betas import BETA_SCHEDULES
from kandinsky_core.schedulers.coefficients import ONE
from kandinsky_core.schedulers.schedule import Schedule, make_rows
from kandinsky_core.schedulers.sigmas import (
    check_falling,
    karras_sigmas,
    sigma_table,
    timesteps_of,
)
from kandinsky_core.schedulers.timesteps import TIMESTEP_SPACINGS, check_steps, spaced_timesteps

__all__ = ["EulerAncestralDiscreteScheduler", "EulerDiscreteScheduler"]


class _EulerScheduler(Scheduler):
    """The base of both schedulers: everything but where a step goes and what it draws."""

    terminal_alpha: ClassVar = 2.0**-24
    fractional: ClassVar = True
    _draws: ClassVar[bool]

    def schedule(self, num_inference_steps: int, start: int = 0) -> Schedule:
        """Return the steps of one loop; see `Scheduler.schedule`.

        Timesteps are float32, since those of `linspace` and of Karras sigmas can be fractions.
        """
        steps, start = check_steps(num_inference_steps, start, self._field("num_train_timesteps"))
        timesteps, sigmas = self._levels(steps)
        check_falling(sigmas[:-1])
        largest = float(sigmas[0])
        leading = self._field("timestep_spacing") == "leading"
        sigma, sigma_next = sigmas[start:-1], sigmas[start + 1 :]
        target, fresh = self._targets(sigma, sigma_next)
        rows = make_rows(
            steps - start,
            **_x0_columns(self._field("prediction_type"), sigma),
            mean_from_sample=target / sigma,
            mean_from_x0=(sigma - target) / sigma,
            noise_scale=fresh,
            input_scale=ONE / np.sqrt(sigma**2 + ONE),
        )
        return Schedule(
            timesteps=timesteps[start:],
            rows=rows,
            draws=np.full(steps - start, self._draws),
            noising=np.stack([np.ones_like(sigma), sigma], axis=1),
            init_noise_sigma=math.hypot(largest, 1) if leading else largest,
        )

    @abstractmethod
    def _targets(self, sigma: FloatArray, sigma_next: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return two sigmas, each [S]: where Euler's step goes, and of the noise drawn there."""

    def _levels(self, steps: int) -> tuple[FloatArray, FloatArray]:
        """Return timesteps [steps] and sigmas [steps + 1]; the last sigma lies behind all steps."""
        timesteps = self._timesteps(steps)
        return timesteps, np.append(self._sigmas(timesteps), 0).astype(np.float32)

    def _timesteps(self, steps: int) -> FloatArray:
        spacing, count = self._field("timestep_spacing"), self._field("num_train_timesteps")
        if spacing == "linspace":
            return np.linspace(0, count - 1, steps, dtype=np.float32)[::-1]
        spaced = spaced_timesteps(spacing, steps, count, self._field("steps_offset"))
        return spaced.astype(np.float32)

    def _sigmas(self, timesteps: NDArray[Any]) -> NDArray[np.float64]:
        table = sigma_table(self.alphas_cumprod)
        return np.interp(timesteps, np.arange(len(table)), table)

    def _shares(self, timesteps: NDArray[Any]) -> FloatArray:
        sigmas = self._sigmas(timesteps).astype(np.float32)
        return np.stack([np.ones_like(sigmas), sigmas], axis=1)


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

    choices: ClassVar = {
        "beta_schedule": BETA_SCHEDULES,
        "prediction_type": ("epsilon", "sample", "v_prediction"),
        "interpolation_type": ("linear",),
        "use_karras_sigmas": (False, True, None),
        "use_exponential_sigmas": (False, None),
        "use_beta_sigmas": (False, None),
        "timestep_spacing": TIMESTEP_SPACINGS,
        "timestep_type": ("discrete",),
        "rescale_betas_zero_snr": (False, True),
        "final_sigmas_type": ("zero", "sigma_min"),
    }
    reasons: ClassVar = {
        "interpolation_type": "it gives one sigma too many in diffusers",
        "timestep_type": "Kandinsky's networks are told timesteps of training",
        "use_beta_sigmas": "it needs SciPy; there is use_karras_sigmas",
        "use_exponential_sigmas": "there is use_karras_sigmas",
    }
    _draws: ClassVar = False

    def __post_init__(self) -> None:
        super().__post_init__()
        low = 1e-10 if self.sigma_min is None else self.sigma_min
        high = math.inf if self.sigma_max is None else self.sigma_max
        if not 0 < low < high:
            raise ConfigError(
                f"EulerDiscreteScheduler: sigma_min={self.sigma_min!r} must be above 0 and below"
                f" sigma_max={self.sigma_max!r}"
            )

    def _targets(self, sigma: FloatArray, sigma_next: FloatArray) -> tuple[FloatArray, FloatArray]:
        return sigma_next, np.zeros_like(sigma)

    def _levels(self, steps: int) -> tuple[FloatArray, FloatArray]:
        timesteps = self._timesteps(steps)
        sigmas = self._sigmas(timesteps)
        table = sigma_table(self.alphas_cumprod)
        if self.use_karras_sigmas:
            largest = sigmas[0] if self.sigma_max is None else self.sigma_max
            smallest = sigmas[-1] if self.sigma_min is None else self.sigma_min
            sigmas = karras_sigmas(float(largest), float(smallest), steps)
            timesteps = timesteps_of(sigmas, table).astype(np.float32)
        last = table[0] if self.final_sigmas_type == "sigma_min" else 0
        return timesteps, np.append(sigmas, last).astype(np.float32)


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


def _x0_columns(prediction_type: str, sigma: FloatArray) -> dict[str, FloatArray | float]:
    """Return the columns that turn the network's output into a clean sample."""
    if prediction_type == "sample":
        return {"x0_from_output": 1.0, "x0_clip": np.inf}
    if prediction_type == "epsilon":
        return {"x0_from_sample": 1.0, "x0_from_output": -sigma, "x0_clip": np.inf}
    square = sigma**2 + ONE
    return {
        "x0_from_sample": ONE / square,
        "x0_from_output": -sigma / np.sqrt(square),
        "x0_clip": np.inf,
    }
