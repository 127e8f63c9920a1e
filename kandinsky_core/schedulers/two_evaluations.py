"""The base of schedulers that run the network twice a step, at the two ends or halfway."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from kandinsky_core.arrays import FloatArray
from kandinsky_core.schedulers.registers import Forms, rows_with_registers
from kandinsky_core.schedulers.schedule import Schedule, make_rows
from kandinsky_core.schedulers.sigma_scheduler import (
    SigmaScheduler,
    input_scale,
    sigma_x0_columns,
)
from kandinsky_core.schedulers.sigmas import check_falling
from kandinsky_core.schedulers.timesteps import check_steps
from kandinsky_core.seam.step_rules import StepRule

__all__ = ["TwoEvaluations"]


class TwoEvaluations(SigmaScheduler):
    """The base of Heun's method and of DPM2: n steps of 2n - 1 evaluations.

    `start` counts steps, so that image to image begins with the first evaluation of a step. The
    Kandinsky pipelines of diffusers count evaluations there, which begins in the middle of a step.
    """

    order: ClassVar = 2
    _draws: ClassVar[bool] = False

    def schedule(self, num_inference_steps: int, start: int = 0) -> Schedule:
        """Return the evaluations of one loop, two for each step but the last.

        See `Scheduler.schedule`.
        """
        count = self._field("num_train_timesteps")
        steps, start = check_steps(num_inference_steps, start, count)
        timesteps, sigmas = self._levels(steps)
        check_falling(sigmas[:-1])
        between, fresh = self._between(sigmas)
        triples = zip(sigmas[:-1], np.append(between, 0), self._targets(sigmas), strict=True)
        halves = [self._halves(*(float(sigma) for sigma in each)) for each in triples]
        forms = [half for pair in halves for half in pair][:-1]
        sigma = _interleaved(sigmas[:-1], between)
        rows = make_rows(
            len(sigma),
            **sigma_x0_columns(self._field("prediction_type"), sigma, self._x0_limit),
            noise_scale=_interleaved(np.zeros(steps), fresh),
            input_scale=input_scale(sigma),
        )
        first = 2 * start
        draws = _interleaved(np.zeros(steps), np.full(steps - 1, self._draws)) > 0
        times = _interleaved(timesteps, self._second_timesteps(timesteps, between))
        return Schedule(
            timesteps=times[first:],
            rows=rows_with_registers(rows, forms)[first:],
            draws=draws[first:],
            noising=self._shares_of(sigma)[first:],
            init_noise_sigma=self._first_noise(float(sigmas[0])),
            rule=StepRule(registers=1),
        )

    @abstractmethod
    def _between(self, sigmas: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return what steps but the last have between their ends, each [steps - 1].

        Args:
            sigmas: [steps + 1].

        Returns:
            The sigma of the second evaluation, and the sigma of the noise that the step draws.
        """

    @abstractmethod
    def _second_timesteps(self, timesteps: FloatArray, between: FloatArray) -> FloatArray:
        """Return the timesteps of the second evaluations, [steps - 1]."""

    def _targets(self, sigmas: FloatArray) -> FloatArray:
        """Return the sigma that each step leads to before it draws noise, [steps]."""
        return sigmas[1:]

    @abstractmethod
    def _halves(self, sigma: float, between: float, sigma_next: float) -> tuple[Forms, Forms]:
        """Return both evaluations of a step; of the last step, whose `between` is 0, the first.

        The register holds the sample that the step began with.
        """


def _interleaved(first: NDArray[Any], second: NDArray[Any]) -> FloatArray:
    """Return the values of S first and S - 1 second evaluations in order, [2S - 1]."""
    mixed = np.empty(len(first) + len(second), np.float32)
    mixed[::2], mixed[1::2] = first, second
    return mixed
