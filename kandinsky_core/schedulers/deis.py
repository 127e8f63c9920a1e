"""DEIS (Zhang and Chen 2022), the multistep variant over log(rho)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from kandinsky_core.arrays import FloatArray
from kandinsky_core.schedulers.quadrature import interpolation_weights
from kandinsky_core.schedulers.registers import Forms, arrays
from kandinsky_core.schedulers.schedule import Schedule
from kandinsky_core.schedulers.solver_scheduler import (
    FEW_STEPS,
    SOLVER_CHOICES,
    SOLVER_REASONS,
    SolverScheduler,
)
from kandinsky_core.schedulers.timesteps import TIMESTEP_SPACINGS, check_steps

__all__ = ["DEISMultistepScheduler"]


@dataclass(frozen=True)
class DEISMultistepScheduler(SolverScheduler):
    """`DEISMultistepScheduler` of diffusers, with its arguments and defaults; of order 1 to 3.

    `algorithm_type` and `solver_type` of another solver's config count as `deis` and `logrho`, as
    in diffusers.
    """

    num_train_timesteps: int = 1000
    beta_start: float = 0.0001
    beta_end: float = 0.02
    beta_schedule: str = "linear"
    trained_betas: Sequence[float] | None = None
    solver_order: int = 2
    prediction_type: str = "epsilon"
    thresholding: bool = False
    dynamic_thresholding_ratio: float = 0.995
    sample_max_value: float | None = 1.0
    algorithm_type: str = "deis"
    solver_type: str = "logrho"
    lower_order_final: bool = True
    use_karras_sigmas: bool | None = False
    use_exponential_sigmas: bool | None = False
    use_beta_sigmas: bool | None = False
    use_flow_sigmas: bool | None = False
    flow_shift: float | None = 1.0
    timestep_spacing: str = "linspace"
    steps_offset: int = 0
    use_dynamic_shifting: bool = False
    time_shift_type: str = "exponential"

    choices: ClassVar[dict[str, tuple[Any, ...]]] = SOLVER_CHOICES | {
        "solver_order": (1, 2, 3),
        "algorithm_type": ("deis",),
        "solver_type": ("logrho",),
        "timestep_spacing": TIMESTEP_SPACINGS,
    }
    reasons: ClassVar = SOLVER_REASONS
    aliases: ClassVar = {
        "algorithm_type": dict.fromkeys(("dpmsolver", "dpmsolver++"), "deis"),
        "solver_type": dict.fromkeys(("midpoint", "heun", "bh1", "bh2"), "logrho"),
    }

    def schedule(self, num_inference_steps: int, start: int = 0) -> Schedule:
        """Return the steps of one loop; see `Scheduler.schedule`.

        A polynomial in log(sigma) through the last noises that were predicted is integrated over
        sigma from each step's beginning to its end.
        """
        steps, start = check_steps(num_inference_steps, start, self.num_train_timesteps)
        timesteps, sigmas = self._levels(steps)
        signal = self._shares_of(sigmas)[:, 0].astype(np.float64)
        exact = sigmas.astype(np.float64)
        orders = self._orders(steps, start)
        forms = [_form(exact, signal, index, int(orders[index])) for index in range(start, steps)]
        return self._schedule(timesteps, sigmas, start, forms)

    def _last_sigma(self, sigmas: NDArray[Any], table: FloatArray) -> float:
        formula = self.use_karras_sigmas or self.use_exponential_sigmas
        return float(sigmas[-1] if formula else table[0])

    def _orders(self, steps: int, start: int) -> NDArray[np.int64]:
        orders = (np.arange(steps) - start + 1).clip(1, self.solver_order)
        if self.lower_order_final and steps < FEW_STEPS:
            orders[-2:] = np.minimum(orders[-2:], [2, 1][-min(steps, 2) :])
        return orders


def _form(
    sigmas: NDArray[np.float64], signal: NDArray[np.float64], index: int, order: int
) -> Forms:
    """Return the step with this number; registers hold predicted noises, newest first.

    With u = log(sigma / sigma now) the integral of u^k over sigma has a closed form.
    """
    a = arrays(2)
    now, following = sigmas[index], sigmas[index + 1]
    shares = (signal[index], signal[index] * now)
    noises = ((a.sample - shares[0] * a.x0) / shares[1], *a.registers)
    known = np.log(sigmas[index - order + 1 : index + 1][::-1] / now)
    sample = a.sample / signal[index]
    weights = interpolation_weights(known, _moments(float(np.log(following / now)), order))
    for weight, noise in zip(weights, noises, strict=False):
        sample = sample + weight * now * noise
    return Forms(signal[index + 1] * sample, noises[:2])


def _moments(end: float, count: int) -> NDArray[np.float64]:
    """Return the integrals of u^k exp(u) from 0 to `end`, k below `count`."""
    values = [np.expm1(end)]
    for power in range(1, count):
        values.append(end**power * np.exp(end) - power * values[-1])
    return np.array(values)
