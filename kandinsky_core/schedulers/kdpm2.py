"""DPM2 (Karras et al. 2022, algorithm 2): each step takes the slope halfway in log(sigma)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from kandinsky_core.arrays import FloatArray
from kandinsky_core.schedulers.registers import Forms, arrays
from kandinsky_core.schedulers.sigma_scheduler import SIGMA_CHOICES, SIGMA_REASONS
from kandinsky_core.schedulers.sigmas import sigma_table, timesteps_of
from kandinsky_core.schedulers.two_evaluations import TwoEvaluations

__all__ = ["KDPM2AncestralDiscreteScheduler", "KDPM2DiscreteScheduler"]


class _Halfway(TwoEvaluations):
    """The base of both schedulers: the second evaluation lies between the ends of a step."""

    _rounds: ClassVar = True

    def _second_timesteps(self, timesteps: FloatArray, between: FloatArray) -> FloatArray:
        return timesteps_of(between, sigma_table(self.alphas_cumprod)).astype(np.float32)

    def _halves(self, sigma: float, between: float, sigma_next: float) -> tuple[Forms, Forms]:
        a = arrays(1)
        begun = a.registers[0]
        first = Forms(a.sample + (a.sample - a.x0) / sigma * (between - sigma), (a.sample,))
        if not between:
            return first, first
        slope = (a.sample - a.x0) / between
        return first, Forms(begun + slope * (sigma_next - sigma), (begun,))


@dataclass(frozen=True)
class KDPM2DiscreteScheduler(_Halfway):
    """`KDPM2DiscreteScheduler` of diffusers, with its arguments and defaults.

    A loop of n steps runs the network 2n - 1 times, since the last step is one of Euler's.
    """

    num_train_timesteps: int = 1000
    beta_start: float = 0.00085
    beta_end: float = 0.012
    beta_schedule: str = "linear"
    trained_betas: Sequence[float] | None = None
    use_karras_sigmas: bool | None = False
    use_exponential_sigmas: bool | None = False
    use_beta_sigmas: bool | None = False
    prediction_type: str = "epsilon"
    timestep_spacing: str = "linspace"
    steps_offset: int = 0

    choices: ClassVar[dict[str, tuple[Any, ...]]] = SIGMA_CHOICES | {
        "prediction_type": ("epsilon", "v_prediction")
    }
    reasons: ClassVar = SIGMA_REASONS | {"prediction_type": "diffusers does not define it here"}

    def _between(self, sigmas: FloatArray) -> tuple[FloatArray, FloatArray]:
        return np.sqrt(sigmas[:-2] * sigmas[1:-1]), np.zeros(len(sigmas) - 2, np.float32)

    def _sigmas_of(self, steps: int) -> FloatArray:
        sigmas = self._levels(steps)[1]
        return np.concatenate([sigmas[:1], np.repeat(sigmas[1:], 2), sigmas[-1:]])


@dataclass(frozen=True)
class KDPM2AncestralDiscreteScheduler(_Halfway):
    """`KDPM2AncestralDiscreteScheduler` of diffusers, with its arguments and defaults.

    Each step but the last goes further down than asked for, and draws noise for the rest.
    """

    num_train_timesteps: int = 1000
    beta_start: float = 0.00085
    beta_end: float = 0.012
    beta_schedule: str = "linear"
    trained_betas: Sequence[float] | None = None
    use_karras_sigmas: bool | None = False
    use_exponential_sigmas: bool | None = False
    use_beta_sigmas: bool | None = False
    prediction_type: str = "epsilon"
    timestep_spacing: str = "linspace"
    steps_offset: int = 0

    choices: ClassVar[dict[str, tuple[Any, ...]]] = KDPM2DiscreteScheduler.choices
    reasons: ClassVar = KDPM2DiscreteScheduler.reasons
    _draws: ClassVar = True

    def _between(self, sigmas: FloatArray) -> tuple[FloatArray, FloatArray]:
        down, fresh = _ancestral(sigmas)
        return np.sqrt(sigmas[:-2] * down[:-1]), fresh[:-1]

    def _targets(self, sigmas: FloatArray) -> FloatArray:
        return _ancestral(sigmas)[0]

    def _sigmas_of(self, steps: int) -> FloatArray:
        sigmas = self._levels(steps)[1]
        return np.concatenate([sigmas[:1], np.repeat(sigmas[1:], 2), sigmas[-1:]])


def _ancestral(sigmas: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return where each step goes, and the sigma of the noise that brings it back up."""
    sigma, following = sigmas[:-1], sigmas[1:]
    # the root of following**2 - fresh**2, whose digits cancel
    down = following**2 / sigma
    return down, np.sqrt((following - down) * (following + down))
