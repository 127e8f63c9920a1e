"""The two samplers in the original code of Kandinsky 3.1: the usual one, and that of Flash.

Source: ai-forever/Kandinsky-3, `kandinsky3/model/diffusion.py`. diffusers has neither. There
`DDPMScheduler` samples Kandinsky 3; it clips at 1 and starts at another timestep.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from kandinsky_core.arrays import FloatArray
from kandinsky_core.errors import ConfigError, InvalidInputError
from kandinsky_core.schedulers.base import Scheduler
from kandinsky_core.schedulers.betas import BETA_SCHEDULES
from kandinsky_core.schedulers.coefficients import variance_preserving, x0_columns
from kandinsky_core.schedulers.schedule import Schedule, make_rows
from kandinsky_core.schedulers.timesteps import check_steps
from kandinsky_core.seam.step_rules import StepRule, Threshold

__all__ = ["Kandinsky3FlashScheduler", "Kandinsky3Scheduler"]

_FLASH_TIMESTEPS = np.arange(979, 0, -250)


@dataclass(frozen=True)
class Kandinsky3Scheduler(Scheduler):
    """Ancestral sampling from the last training timestep on, with dynamic thresholding.

    Attributes:
        percentile: Share of a sample's magnitudes that thresholding leaves as they are: 0.99 in
            text to image, 0.95 in inpainting.
        eta: How much noise each step adds, from 0 (none) to 1. It scales the variance of the noise,
            where DDIM's eta scales the deviation.
        float32_variance: Compute in float32 what the noise of a step leaves of the variance, as the
            original code does. Digits cancel there: with 5 steps the first one keeps 1.7 times as
            much of the predicted noise. At 1 and 3 steps, where the original's pictures are NaN,
            the exact value stands in.
    """

    num_train_timesteps: int = 1000
    beta_start: float = 0.0001
    beta_end: float = 0.02
    beta_schedule: str = "squaredcos_cap_v2"
    trained_betas: Sequence[float] | None = None
    prediction_type: str = "epsilon"
    percentile: float = 0.99
    eta: float = 1.0
    float32_variance: bool = False

    choices: ClassVar = {"beta_schedule": BETA_SCHEDULES, "prediction_type": ("epsilon",)}

    def __post_init__(self) -> None:
        super().__post_init__()
        _require_timesteps(self, 2)

    def schedule(self, num_inference_steps: int, start: int = 0) -> Schedule:
        """Return the steps of one loop; see `Scheduler.schedule`.

        The distance of two timesteps is rounded up. So a loop takes fewer steps than asked for
        where the number does not divide that of the training: 333 for 400. Noise is drawn at every
        step, though the last step does not use it.
        """
        count = self.num_train_timesteps
        steps, start = check_steps(num_inference_steps, start, count)
        timesteps = np.arange(count - 1, 0, -math.ceil(count / steps))[start - steps :]
        noising = variance_preserving(self.alphas_cumprod[timesteps])
        # float64: at the first timestep float32 loses the rest of the signal
        alpha = self.alphas_cumprod[timesteps].astype(np.float64)
        alpha_next = np.append(alpha[1:], self.alphas_cumprod[0])
        deviation, variance = _variances(alpha, alpha_next, self.eta)
        if self.float32_variance:
            here, following = alpha.astype(np.float32), alpha_next.astype(np.float32)
            _, rounded = _variances(here, following, np.float32(self.eta))
            variance = np.where(rounded < 0, variance, rounded)
        # The noise is predicted anew from the clean sample that thresholding left.
        # Where hardly any signal is left, rounding can make the variance a little negative.
        direction = np.sqrt(np.maximum(variance, 0)) / np.sqrt(1 - alpha)
        rows = make_rows(
            len(timesteps),
            **x0_columns(self.prediction_type, noising, math.inf),
            mean_from_x0=np.sqrt(alpha_next) - direction * np.sqrt(alpha),
            mean_from_sample=direction,
            noise_scale=np.append(deviation[:-1], 0),
        )
        return Schedule(
            timesteps=timesteps,
            rows=rows,
            draws=np.ones(len(timesteps), bool),
            noising=noising,
            rule=StepRule(threshold=self._threshold),
        )

    @property
    def _threshold(self) -> Threshold:
        return Threshold(self.percentile, math.inf)


def _variances(alpha: Any, alpha_next: Any, eta: Any) -> tuple[Any, Any]:
    """Return the deviation of the noise that a step adds, and the variance that this leaves."""
    share = eta * (1 - alpha / alpha_next) * (1 - alpha_next) / (1 - alpha)
    deviation = np.sqrt(share)
    return deviation, 1 - alpha_next - deviation**2


@dataclass(frozen=True)
class Kandinsky3FlashScheduler(Scheduler):
    """Predicts the clean sample four times and noises each prediction to the next timestep.

    The four timesteps are fixed. A loop starts from a picture that is noised to the first of them,
    or from noise alone.
    """

    num_train_timesteps: int = 1000
    beta_start: float = 0.0001
    beta_end: float = 0.02
    beta_schedule: str = "squaredcos_cap_v2"
    trained_betas: Sequence[float] | None = None
    prediction_type: str = "epsilon"

    choices: ClassVar = {"beta_schedule": BETA_SCHEDULES, "prediction_type": ("epsilon", "sample")}

    def __post_init__(self) -> None:
        super().__post_init__()
        _require_timesteps(self, int(_FLASH_TIMESTEPS[0]) + 1)

    def schedule(self, num_inference_steps: int, start: int = 0) -> Schedule:
        """Return the steps of one loop; see `Scheduler.schedule`.

        `start=3` gives the refiner for pictures of Kandinsky 3.0: one step at timestep 229.

        Raises:
            InvalidInputError: `num_inference_steps` is not 4.
        """
        steps, start = check_steps(num_inference_steps, start, self.num_train_timesteps)
        if steps != len(_FLASH_TIMESTEPS):
            raise InvalidInputError(
                f"num_inference_steps={num_inference_steps!r}: Flash was trained for 4 timesteps "
                "and takes 4 steps"
            )
        timesteps = _FLASH_TIMESTEPS[start:]
        noising = variance_preserving(self.alphas_cumprod[timesteps])
        following: FloatArray = np.append(noising[1:], np.array([[1, 0]], np.float32), axis=0)
        columns: dict[str, Any] = x0_columns(self.prediction_type, noising, math.inf)
        rows = make_rows(
            len(timesteps), **columns, mean_from_x0=following[:, 0], noise_scale=following[:, 1]
        )
        draws = following[:, 1] > 0
        return Schedule(timesteps=timesteps, rows=rows, draws=draws, noising=noising)


def _require_timesteps(scheduler: Kandinsky3Scheduler | Kandinsky3FlashScheduler, low: int) -> None:
    count = scheduler.num_train_timesteps
    if count < low:
        raise ConfigError(
            f"{type(scheduler).__name__}: num_train_timesteps={count} must be at least {low}, as"
            " its loops start and end at fixed timesteps"
        )
