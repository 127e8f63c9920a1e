"""DPM-Solver++ (Lu et al. 2022, arXiv:2211.01095): good pictures in about 20 steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from kandinsky_core.arrays import FloatArray
from kandinsky_core.errors import ConfigError
from kandinsky_core.schedulers.coefficients import ONE, x0_columns
from kandinsky_core.schedulers.registers import Forms, arrays, rows_with_registers
from kandinsky_core.schedulers.schedule import Schedule, make_rows
from kandinsky_core.schedulers.solver_scheduler import (
    DPM_ALIASES,
    FEW_STEPS,
    SOLVER_CHOICES,
    SOLVER_REASONS,
    SolverScheduler,
)
from kandinsky_core.schedulers.timesteps import TIMESTEP_SPACINGS, check_steps
from kandinsky_core.seam.step_rules import StepRule

__all__ = ["DPMSolverMultistepScheduler"]


@dataclass(frozen=True)
class DPMSolverMultistepScheduler(SolverScheduler):
    """`DPMSolverMultistepScheduler` of diffusers, with its arguments and defaults.

    It is the multistep DPM-Solver++ of order 1 to 3, or its stochastic variant of order 1 or 2.
    `variance_type` has no effect: the solver uses the predicted mean alone.
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
    lower_order_final: bool = True
    euler_at_final: bool = False
    use_karras_sigmas: bool = False
    use_exponential_sigmas: bool = False
    use_beta_sigmas: bool = False
    use_lu_lambdas: bool = False
    use_flow_sigmas: bool = False
    flow_shift: float = 1.0
    final_sigmas_type: str = "zero"
    lambda_min_clipped: float = -math.inf
    variance_type: str | None = None
    timestep_spacing: str = "linspace"
    steps_offset: int = 0
    rescale_betas_zero_snr: bool = False
    use_dynamic_shifting: bool = False
    time_shift_type: str = "exponential"

    choices: ClassVar = SOLVER_CHOICES | {
        "solver_order": (1, 2, 3),
        "algorithm_type": ("dpmsolver++", "sde-dpmsolver++"),
        "solver_type": ("midpoint", "heun"),
        "use_lu_lambdas": (False, True, None),
        "final_sigmas_type": ("zero", "sigma_min"),
        "lambda_min_clipped": (-math.inf,),
        "timestep_spacing": TIMESTEP_SPACINGS,
        "rescale_betas_zero_snr": (False, True),
    }
    reasons: ClassVar = SOLVER_REASONS
    aliases: ClassVar = DPM_ALIASES
    _rounds_cosine: ClassVar = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.solver_order == 3 and self.algorithm_type == "sde-dpmsolver++":
            raise ConfigError(
                "DPMSolverMultistepScheduler: solver_order=3 is not supported with"
                " algorithm_type='sde-dpmsolver++' (diffusers has a wrong sign there): take order 2"
            )

    def schedule(self, num_inference_steps: int, start: int = 0) -> Schedule:
        """Return the steps of one loop; see `Scheduler.schedule`.

        The first step is of first order, since no earlier prediction exists.

        Raises:
            InvalidInputError: A number is out of its range, or the number of steps is so large that
                a timestep would be visited twice.
        """
        steps, start = check_steps(num_inference_steps, start, self.num_train_timesteps)
        timesteps, sigmas = self._levels(steps)
        stochastic = self.algorithm_type == "sde-dpmsolver++"
        shares = self._shares_of(sigmas)  # [steps + 1, 2]
        orders = self._orders(steps, start)
        columns = _solver_columns(shares, orders > 1, stochastic, self.solver_type == "heun")
        x0 = x0_columns(self.prediction_type, shares[:-1], math.inf)
        rows = make_rows(steps, **x0, **columns)
        if self.solver_order == 3:
            rows = rows_with_registers(rows, _third_order_forms(shares, orders, columns))
        return Schedule(
            timesteps=timesteps[start:],
            rows=rows[start:],
            draws=np.full(steps - start, stochastic),
            noising=shares[start:-1],
            rule=StepRule(threshold=self._threshold, registers=int(self.solver_order == 3)),
        )

    def _orders(self, steps: int, start: int) -> NDArray[np.int64]:
        """Return the order of each step of the whole loop, [steps]."""
        orders = (np.arange(steps) - start + 1).clip(1, self.solver_order)
        few = self.lower_order_final and steps < FEW_STEPS
        if few and steps > 1:
            orders[-2] = min(orders[-2], 2)
        if few or self.euler_at_final or self.final_sigmas_type == "zero":
            orders[-1] = 1
        return orders


def _third_order_forms(
    shares: FloatArray, orders: NDArray[np.int64], columns: dict[str, FloatArray]
) -> list[Forms]:
    """Return the steps of DPM-Solver++(3M); the register holds the clean sample two steps back.

    Steps of lower order are those of `columns`. Reference: Lu et al. 2022, appendix B.
    """
    signal, noise = shares.T.astype(np.float64)
    with np.errstate(divide="ignore"):
        h = np.diff(np.log(signal) - np.log(noise))
    a = arrays(1)
    forms = []
    for index, order in enumerate(orders):
        following = (
            columns["mean_from_sample"][index] * a.sample
            + columns["mean_from_x0"][index] * a.x0
            + columns["mean_from_previous_x0"][index] * a.previous_x0
        )
        if order == 3:
            width = h[index]
            near, far = h[index - 1] / width, h[index - 2] / width
            recent = (a.x0 - a.previous_x0) / near
            bend = (recent - (a.previous_x0 - a.registers[0]) / far) / (near + far)
            gained = -np.expm1(-width)
            change = (
                gained * a.x0
                + (1 - gained / width) * (recent + near * bend)
                + ((gained - width) / width**2 + 0.5) * bend
            )
            ratio = noise[index + 1] / noise[index]
            following = ratio * a.sample + signal[index + 1] * change
        forms.append(Forms(following, (a.previous_x0,)))
    return forms


def _solver_columns(
    shares: FloatArray, second: NDArray[np.bool_], stochastic: bool, heun: bool
) -> dict[str, FloatArray]:
    """Return the columns that lead from one noise level to the next.

    Let h be the step of log(signal / noise), and D = (x0 - previous_x0) * h / previous h. Then

        next = noise ratio * sample + (1 - exp(-h)) * signal * x0 + c * signal * D

    where c is (1 - exp(-h)) / 2 for midpoint and 1 - (1 - exp(-h)) / h for heun. The stochastic
    variant puts 2h in place of h and draws noise of the variance that is then missing.

    Args:
        shares: float32 [S + 1, 2]; the last row describes the sample behind the last step.
        second: [S], whether the step is of second order.
        stochastic: Whether the algorithm is sde-dpmsolver++.
        heun: Whether the solver type is heun; otherwise it is midpoint.
    """
    signal, noise = shares.T
    with np.errstate(divide="ignore"):
        h = np.diff(np.log(signal) - np.log(noise))  # infinite where the next sample is clean
    width = 2 * h if stochastic else h
    gained = -np.expm1(-width)
    curve = 1 - gained / np.where(width > 0, width, 1) if heun else gained / 2
    before = np.append(ONE, h[:-1])
    slope = np.where(second, curve * h / before, 0)
    return {
        "mean_from_x0": signal[1:] * (gained + slope),
        "mean_from_previous_x0": -signal[1:] * slope,
        "mean_from_sample": noise[1:] / noise[:-1] * (np.exp(-h) if stochastic else ONE),
        "noise_scale": noise[1:] * np.sqrt(gained) * stochastic,
    }
