"""Heun's method (Karras et al. 2022, algorithm 1): two evaluations of the network a step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from kandinsky_core.arrays import FloatArray
from kandinsky_core.schedulers.registers import Forms, arrays
from kandinsky_core.schedulers.sigma_scheduler import SIGMA_CHOICES, SIGMA_REASONS
from kandinsky_core.schedulers.two_evaluations import TwoEvaluations

__all__ = ["HeunDiscreteScheduler"]


@dataclass(frozen=True)
class HeunDiscreteScheduler(TwoEvaluations):
    """`HeunDiscreteScheduler` of diffusers, with its arguments and defaults.

    The first evaluation of a step goes on by Euler's method to the next sigma. The second, at that
    sigma, repeats the step with the mean of both slopes. A loop of n steps runs the network 2n - 1
    times, since the last step is one of Euler's.
    """

    num_train_timesteps: int = 1000
    beta_start: float = 0.00085
    beta_end: float = 0.012
    beta_schedule: str = "linear"
    trained_betas: Sequence[float] | None = None
    prediction_type: str = "epsilon"
    use_karras_sigmas: bool | None = False
    use_exponential_sigmas: bool | None = False
    use_beta_sigmas: bool | None = False
    clip_sample: bool = False
    clip_sample_range: float = 1.0
    timestep_spacing: str = "linspace"
    steps_offset: int = 0

    choices: ClassVar[dict[str, tuple[Any, ...]]] = SIGMA_CHOICES
    reasons: ClassVar = SIGMA_REASONS

    def _between(self, sigmas: FloatArray) -> tuple[FloatArray, FloatArray]:
        return sigmas[1:-1], np.zeros(len(sigmas) - 2, np.float32)

    def _second_timesteps(self, timesteps: FloatArray, between: FloatArray) -> FloatArray:
        return timesteps[1:]

    def _halves(self, sigma: float, between: float, sigma_next: float) -> tuple[Forms, Forms]:
        a = arrays(1)
        begun = a.registers[0]
        slope = (a.sample - a.x0) / sigma
        first = Forms(a.sample + slope * (between - sigma), (a.sample,))
        if not between:
            return first, first
        before, now = (begun - a.previous_x0) / sigma, (a.sample - a.x0) / between
        second = Forms(begun + (before + now) / 2 * (sigma_next - sigma), (begun,))
        return first, second

    def _sigmas_of(self, steps: int) -> FloatArray:
        sigmas = self._levels(steps)[1]
        return np.concatenate([sigmas[:1], np.repeat(sigmas[1:-1], 2), sigmas[-1:]])
