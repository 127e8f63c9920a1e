"""DPM-Solver++ (Lu et al. 2022, arXiv:2211.01095): good pictures in about 20 steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from kandinsky_core.arrays import FloatArray
from kandinsky_core.schedulers.base import Scheduler
from kandinsky_core.schedulers.betas import BETA_SCHEDULES
from kandinsky_core.schedulers.coefficients import ONE, x0_columns
from kandinsky_core.schedulers.schedule import Schedule, make_rows
from kandinsky_core.schedulers.sigmas import (
    check_falling,
    karras_sigmas,
    sigma_table,
    timesteps_of,
)
from kandinsky_core.schedulers.timesteps import TIMESTEP_SPACINGS, check_steps, solver_timesteps
from kandinsky_core.seam.step_rules import StepRule

__all__ = ["DPMSolverMultistepScheduler"]

# With fewer steps than this, `lower_order_final` makes the last one a step of first order.
_FEW_STEPS = 15


@dataclass(frozen=True)
class DPMSolverMultistepScheduler(Scheduler):
    """`DPMSolverMultistepScheduler` of diffusers, with its arguments and defaults.

    It is the multistep DPM-Solver++ of order 1 or 2, or its stochastic variant. `variance_type` has
    no effect: the solver uses the predicted mean alone.
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

    choices: ClassVar = {
        "beta_schedule": BETA_SCHEDULES,
        "solver_order": (1, 2),
        "prediction_type": ("epsilon", "sample", "v_prediction"),
        "thresholding": (False, True),
        "algorithm_type": ("dpmsolver++", "sde-dpmsolver++"),
        "solver_type": ("midpoint", "heun"),
        "use_karras_sigmas": (False, True),
        "use_exponential_sigmas": (False,),
        "use_beta_sigmas": (False,),
        "use_lu_lambdas": (False,),
        "use_flow_sigmas": (False,),
        "final_sigmas_type": ("zero", "sigma_min"),
        "lambda_min_clipped": (-math.inf,),
        "timestep_spacing": TIMESTEP_SPACINGS,
        "rescale_betas_zero_snr": (False, True),
        "use_dynamic_shifting": (False,),
    }
    reasons: ClassVar = {
        "solver_order": "a step remembers one earlier prediction",
        "algorithm_type": "diffusers deprecates the solvers that integrate noise",
        "use_beta_sigmas": "it needs SciPy; there is use_karras_sigmas",
        "use_exponential_sigmas": "there is use_karras_sigmas",
        "use_lu_lambdas": "there is use_karras_sigmas",
        "use_flow_sigmas": "Kandinsky 2 is no flow model",
        "use_dynamic_shifting": "Kandinsky 2 is no flow model",
        "lambda_min_clipped": "only cosine betas need it, and no decoder has them",
    }
    terminal_alpha: ClassVar = 2.0**-24

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
        signal = ONE / np.sqrt(sigmas**2 + ONE)
        shares = np.stack([signal, sigmas * signal], axis=1)  # [steps + 1, 2]
        rows = make_rows(
            steps,
            **x0_columns(self.prediction_type, shares[:-1], math.inf),
            **_solver_columns(
                shares, self._second_order(steps, start), stochastic, self.solver_type == "heun"
            ),
        )
        return Schedule(
            timesteps=timesteps[start:],
            rows=rows[start:],
            draws=np.full(steps - start, stochastic),
            noising=shares[start:-1],
            rule=StepRule(threshold=self._threshold),
        )

    def _levels(self, steps: int) -> tuple[NDArray[np.int64], FloatArray]:
        """Return timesteps [steps] and sigmas [steps + 1]; the last sigma lies behind all steps."""
        table = sigma_table(self.alphas_cumprod)
        sigmas: NDArray[Any]
        if self.use_karras_sigmas:
            sigmas = karras_sigmas(float(table[-1]), float(table[0]), steps)
            between = timesteps_of(sigmas, table)
            # the reference rounds the timesteps of cosine betas down, all others to the nearest
            cosine = self.beta_schedule == "squaredcos_cap_v2"
            timesteps = (between if cosine else between.round()).astype(np.int64)
        else:
            timesteps = solver_timesteps(
                self.timestep_spacing, steps, self.num_train_timesteps, self.steps_offset
            )
            sigmas = table[timesteps]
        check_falling(sigmas)
        last = table[0] if self.final_sigmas_type == "sigma_min" else 0
        return timesteps, np.append(sigmas, last).astype(np.float32)

    def _second_order(self, steps: int, start: int) -> NDArray[np.bool_]:
        second = np.arange(steps) > start
        few = self.lower_order_final and steps < _FEW_STEPS
        if few or self.euler_at_final or self.final_sigmas_type == "zero":
            second[-1] = False
        return second & (self.solver_order == 2)


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
