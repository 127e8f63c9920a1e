"""The samplers in the original code of Kandinsky 2.0, which diffusers has not.

Source: ai-forever/Kandinsky-2, `kandinsky2/model/samplers.py`, `gaussian_diffusion.py` and
`respace.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from kandinsky_core.errors import ConfigError, InvalidInputError
from kandinsky_core.schedulers.base import Scheduler
from kandinsky_core.schedulers.betas import BETA_SCHEDULES
from kandinsky_core.schedulers.coefficients import variance_preserving
from kandinsky_core.schedulers.ddim import DDIMScheduler
from kandinsky_core.schedulers.ddpm import DDPMScheduler
from kandinsky_core.schedulers.schedule import Schedule
from kandinsky_core.schedulers.timesteps import check_steps

__all__ = ["SAMPLERS", "Kandinsky20Scheduler"]

SAMPLERS = ("current", "first-release", "ddpm")
_USUAL_ETA = {"current": 0.0, "first-release": 0.05, "ddpm": 1.0}


@dataclass(frozen=True)
class Kandinsky20Scheduler(Scheduler):
    """The three samplers that 2.0 was published with.

    `current` is DDIM without clipping, as the code is today. `first-release` is the DDIM of the
    first release: the clean sample is thresholded, and the noise is predicted anew from it.
    `ddpm` is the code's `p_sampler`, whose noise has the variance that the network has learned.
    The last two threshold at a quantile of each sample, and mix the kept part of an inpainted
    picture into each clean sample. The original takes the quantile of the first sample for all.

    Attributes:
        sampler: `current`, `first-release` or `ddpm`.
        eta: Share of fresh noise in DDIM, from 0 to 1. None is 0 for `current`, as the original
            never reads its `ddim_eta` of 0.05, and 0.05 for `first-release`.
        dynamic_thresholding_ratio: Share of a sample's magnitudes that thresholding leaves.
    """

    num_train_timesteps: int = 1000
    beta_start: float = 0.0001
    beta_end: float = 0.02
    beta_schedule: str = "linear"
    trained_betas: Sequence[float] | None = None
    prediction_type: str = "epsilon"
    sampler: str = "current"
    eta: float | None = None
    dynamic_thresholding_ratio: float = 0.995

    choices: ClassVar = {
        "beta_schedule": BETA_SCHEDULES,
        "prediction_type": ("epsilon",),
        "sampler": SAMPLERS,
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.eta is not None and (not 0 <= self.eta <= 1 or self.sampler == "ddpm"):
            raise ConfigError(
                f"Kandinsky20Scheduler: eta={self.eta!r} must be a number from 0 to 1, and None "
                "for the sampler 'ddpm'"
            )
        if not 0 <= self.dynamic_thresholding_ratio <= 1:
            raise ConfigError(
                "Kandinsky20Scheduler: dynamic_thresholding_ratio="
                f"{self.dynamic_thresholding_ratio!r} must be a number from 0 to 1"
            )

    def schedule(self, num_inference_steps: int, start: int = 0) -> Schedule:
        """Return the steps of one loop; see `Scheduler.schedule`.

        DDIM divides the timesteps into whole parts, so that a loop may take more steps than asked
        for: 77 for 75. Where the first timestep lies behind the last one of the training, which
        fails in the original (27, 37 and more than 500 steps among others), it is left out.
        """
        steps, start = check_steps(num_inference_steps, start, self.num_train_timesteps)
        timesteps = self._timesteps(steps)
        return self._steps(timesteps[start - steps :] if start else timesteps)

    def schedule_from(self, num_inference_steps: int, strength: float) -> Schedule:
        """Return the steps of image to image, as the original chooses them.

        The present DDIM noises the picture to one timestep less than `strength` of all, and takes
        the steps from there down. The first step may lie lower, for which the picture is then
        noised too much.

        Args:
            num_inference_steps: Steps of the whole loop.
            strength: Share of the noise, above 0 and up to 1. The original's own `strength` is 1
                less this one.

        Raises:
            InvalidInputError: No step is left, or a number is out of its range.
        """
        steps, _ = check_steps(num_inference_steps, 0, self.num_train_timesteps)
        if self.sampler != "current":
            return self.schedule(steps, steps - int(steps * strength))
        first = int(self.num_train_timesteps * strength)
        timesteps = self._timesteps(steps)
        kept = timesteps[timesteps <= first]
        if not len(kept):
            raise InvalidInputError(
                f"strength={strength!r} leaves none of {steps} steps: give more strength"
            )
        schedule = self._steps(kept)
        noising = schedule.noising.copy()
        noising[:1] = variance_preserving(self.alphas_cumprod[first - 1 : first])
        return replace(schedule, noising=noising)

    def _timesteps(self, steps: int) -> NDArray[np.int64]:
        """Return the timesteps of the whole loop, falling."""
        count = self.num_train_timesteps
        if self.sampler == "ddpm":
            pace = (count - 1) / (steps - 1) if steps > 1 else 1
            return _evenly(steps, pace)[::-1]
        timesteps = np.arange(0, count, count // steps) + 1
        return timesteps[timesteps < count][::-1]

    def _steps(self, timesteps: NDArray[np.int64]) -> Schedule:
        betas: dict[str, Any] = {
            "num_train_timesteps": self.num_train_timesteps,
            "beta_start": self.beta_start,
            "beta_end": self.beta_end,
            "beta_schedule": self.beta_schedule,
            "trained_betas": self.trained_betas,
            "clip_sample": False,
            "dynamic_thresholding_ratio": self.dynamic_thresholding_ratio,
            "sample_max_value": None,
        }
        following = np.append(timesteps[1:], -1)
        if self.sampler == "ddpm":
            rule = DDPMScheduler(**betas, thresholding=True, variance_type="learned_range")
            made = rule.between(timesteps, following)
        else:
            first = self.sampler == "first-release"
            ddim = DDIMScheduler(**betas, thresholding=first, set_alpha_to_one=first)
            eta = _USUAL_ETA[self.sampler] if self.eta is None else self.eta
            made = ddim.between(timesteps, following, eta, clipped=first)
        blends = self.sampler != "current"
        return replace(made, rule=replace(made.rule, blends_x0=blends))


def _evenly(steps: int, pace: float) -> NDArray[np.int64]:
    """Return the sums of so many paces, rounded as the original rounds them."""
    sums, place = [], 0.0
    for _ in range(steps):
        sums.append(round(place))
        place += pace
    return np.array(sums, np.int64)
