"""DPM-Solver++ with steps in blocks (Lu et al. 2022, arXiv:2211.01095, algorithm 1)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from kandinsky_core.arrays import FloatArray
from kandinsky_core.errors import ConfigError
from kandinsky_core.schedulers.registers import Arrays, Forms, Weights, arrays
from kandinsky_core.schedulers.schedule import Schedule
from kandinsky_core.schedulers.solver_scheduler import (
    DPM_ALIASES,
    SOLVER_CHOICES,
    SOLVER_REASONS,
    SolverScheduler,
)
from kandinsky_core.schedulers.timesteps import check_steps

__all__ = ["DPMSolverSinglestepScheduler"]


@dataclass(frozen=True)
class DPMSolverSinglestepScheduler(SolverScheduler):
    """`DPMSolverSinglestepScheduler` of diffusers, with its arguments and defaults.

    Steps stand in blocks of `solver_order`: each step of a block begins anew where the block began,
    with one prediction more. Where the number of steps is no multiple of the order, or the last
    sigma is 0, the loop ends with blocks of lower order, as diffusers does it with a warning.
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
    algorithm_type: str = "dpmsolver++"
    solver_type: str = "midpoint"
    lower_order_final: bool = False
    use_karras_sigmas: bool | None = False
    use_exponential_sigmas: bool | None = False
    use_beta_sigmas: bool | None = False
    use_flow_sigmas: bool | None = False
    flow_shift: float | None = 1.0
    final_sigmas_type: str = "zero"
    lambda_min_clipped: float = -math.inf
    variance_type: str | None = None
    use_dynamic_shifting: bool = False
    time_shift_type: str = "exponential"

    choices: ClassVar[dict[str, tuple[Any, ...]]] = SOLVER_CHOICES | {
        "solver_order": (1, 2, 3),
        "algorithm_type": ("dpmsolver++", "sde-dpmsolver++"),
        "solver_type": ("midpoint", "heun"),
        "final_sigmas_type": ("zero", "sigma_min"),
        "lambda_min_clipped": (-math.inf,),
    }
    reasons: ClassVar = SOLVER_REASONS
    aliases: ClassVar = DPM_ALIASES

    def __post_init__(self) -> None:
        super().__post_init__()
        stochastic = self.algorithm_type == "sde-dpmsolver++"
        if stochastic and self.solver_order == 3 and self.solver_type == "heun":
            raise ConfigError(
                "DPMSolverSinglestepScheduler: solver_type='heun' is not supported with"
                " solver_order=3 and algorithm_type='sde-dpmsolver++' (diffusers has a wrong sign"
                " there): take 'midpoint'"
            )

    def schedule(self, num_inference_steps: int, start: int = 0) -> Schedule:
        """Return the steps of one loop; see `Scheduler.schedule`.

        A loop that begins in the middle of a block takes steps of first order until the next one.
        """
        steps, start = check_steps(num_inference_steps, start, self.num_train_timesteps)
        timesteps, sigmas = self._levels(steps)
        signal, noise = self._shares_of(sigmas).T.astype(np.float64)
        with np.errstate(divide="ignore"):
            log_ratio = np.log(signal) - np.log(noise)
        stochastic = self.algorithm_type == "sde-dpmsolver++"
        forms, scales = [], []
        orders = self._orders(steps)
        for index in range(start, steps):
            order = min(orders[index], index - start + 1)
            begin = index - order + 1
            block = _Block(
                log_ratio[begin : index + 2] - log_ratio[begin],
                signal[index + 1],
                noise[index + 1] / noise[begin],
                stochastic,
                self.solver_type == "heun",
            )
            forms.append(block.form(order))
            scales.append(noise[index + 1] * np.sqrt(block.gained) if stochastic else 0.0)
        return self._schedule(timesteps, sigmas, start, forms, np.array(scales), stochastic)

    def _timesteps(self, steps: int) -> NDArray[np.int64]:
        even = np.linspace(0, self.num_train_timesteps - 1, steps + 1).round()[:0:-1]
        return even.astype(np.int64)

    def _orders(self, steps: int) -> list[int]:
        """Return the order of each step of the whole loop."""
        size, zero = self.solver_order, self.final_sigmas_type == "zero"
        orders = [1 + index % size for index in range(steps)]
        if self.lower_order_final or steps % size or zero:
            if steps % size == 0 and size == 3:
                orders[-3:] = [1, 2, 1]
            elif steps % size == 0 and size == 2:
                orders[-2:] = [1, 1]
        if zero:
            orders[-1] = 1
        return orders


@dataclass(frozen=True, slots=True)
class _Block:
    """The steps of a block up to the present one.

    Attributes:
        lambdas: log(signal / noise) above that where the block began: at its steps so far, and
            where the present step leads. The last may be infinite.
        signal_next: Share of the signal where the step leads.
        noise_ratio: Share of the noise there over that where the block began.
        stochastic: Whether noise is drawn, which puts 2h in place of h.
        heun: Whether the solver type is heun; otherwise it is midpoint.
    """

    lambdas: FloatArray | NDArray[np.float64]
    signal_next: float
    noise_ratio: float
    stochastic: bool
    heun: bool

    @property
    def width(self) -> float:
        """Length of the step in lambda, doubled where noise is drawn."""
        return float(self.lambdas[-1]) * (2 if self.stochastic else 1)

    @property
    def gained(self) -> float:
        """Share of what a step in lambda replaces by the prediction."""
        return float(-np.expm1(-self.width))

    def form(self, order: int) -> Forms:
        """Return the step of the block that has this number, from 1."""
        a = arrays(2)  # the sample that the block began with, and the clean sample two steps back
        begun = a.sample if order == 1 else a.registers[0]
        clean, change = self._predictions(order, a)
        ratio = self.noise_ratio * (np.exp(-self.lambdas[-1]) if self.stochastic else 1)
        following = ratio * begun + self.signal_next * (self.gained * clean + change)
        return Forms(following, (begun, a.previous_x0))

    def _predictions(self, order: int, a: Arrays) -> tuple[Weights, Weights]:
        """Return the first prediction of the block, and what later ones add to its share."""
        if order == 1:
            return a.x0, 0 * a.x0
        width, gained, h = self.width, self.gained, self.lambdas[-1]
        curve = 1 - gained / width
        if order == 2:
            slope = (a.x0 - a.previous_x0) * h / self.lambdas[1]
            return a.previous_x0, (curve if self.heun else gained / 2) * slope
        first = a.registers[1]
        near, far = self.lambdas[1] / h, self.lambdas[2] / h
        early, late = (a.previous_x0 - first) / near, (a.x0 - first) / far
        if not self.heun:
            return first, curve * late
        slope = (far * early - near * late) / (far - near)
        bend = 2 * (late - early) / (far - near)
        return first, curve * slope + ((gained - width) / width**2 + 0.5) * bend
