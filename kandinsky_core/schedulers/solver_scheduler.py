"""The base of the solvers that integrate over half the logarithm of the signal-to-noise ratio.

DPM-Solver, UniPC and DEIS step along lambda = log(signal / noise) (Lu et al. 2022, section 2.2).
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from kandinsky_core.arrays import FloatArray
from kandinsky_core.schedulers.base import Scheduler
from kandinsky_core.schedulers.betas import BETA_SCHEDULES
from kandinsky_core.schedulers.coefficients import ONE, x0_columns
from kandinsky_core.schedulers.registers import Forms, rows_with_registers
from kandinsky_core.schedulers.schedule import Schedule, make_rows
from kandinsky_core.schedulers.sigma_loop import SigmaLoop
from kandinsky_core.schedulers.sigmas import (
    BETA_SIGMAS,
    check_falling,
    chosen_sigmas,
    require_one_choice,
    sigma_table,
    timesteps_of,
)
from kandinsky_core.schedulers.timesteps import solver_timesteps
from kandinsky_core.seam.step_rules import StepRule

__all__ = ["DPM_ALIASES", "FEW_STEPS", "SOLVER_CHOICES", "SOLVER_REASONS", "SolverScheduler"]

FEW_STEPS = 15
"""With fewer steps than this, `lower_order_final` lowers the order of the last steps."""
SOLVER_CHOICES: dict[str, tuple[Any, ...]] = {
    "beta_schedule": BETA_SCHEDULES,
    "prediction_type": ("epsilon", "sample", "v_prediction"),
    "thresholding": (False, True),
    "use_karras_sigmas": (False, True, None),
    "use_exponential_sigmas": (False, True, None),
    "use_beta_sigmas": (False, None),
    "use_flow_sigmas": (False, None),
    "use_dynamic_shifting": (False,),
}
DPM_ALIASES = {
    "algorithm_type": {"deis": "dpmsolver++"},
    "solver_type": dict.fromkeys(("logrho", "bh1", "bh2"), "midpoint"),
}
"""Values of other solvers' configs that DPM-Solver takes for its own, as diffusers does."""
SOLVER_REASONS = {
    "algorithm_type": "diffusers deprecates the solvers that integrate noise",
    "use_beta_sigmas": BETA_SIGMAS,
    "use_flow_sigmas": "Kandinsky 2 is no flow model",
    "use_dynamic_shifting": "Kandinsky 2 is no flow model",
    "lambda_min_clipped": "only cosine betas need it, and no decoder has them",
}


class SolverScheduler(SigmaLoop, Scheduler):
    """The base of the solvers: which noise levels a loop visits."""

    terminal_alpha: ClassVar = 2.0**-24
    _rounds_cosine: ClassVar[bool] = True  # whether timesteps of cosine betas are rounded, too

    def __post_init__(self) -> None:
        super().__post_init__()
        require_one_choice(self)

    def _levels(self, steps: int) -> tuple[NDArray[np.int64], FloatArray]:
        """Return timesteps [steps] and sigmas [steps + 1]; the last sigma lies behind all steps."""
        table = sigma_table(self.alphas_cumprod)
        sigmas = chosen_sigmas(self, *self._ends(float(table[-1]), float(table[0])), steps)
        if sigmas is None:
            timesteps = self._timesteps(steps)
            sigmas = table[timesteps].astype(np.float64)
        else:
            between = timesteps_of(sigmas, table)
            # the reference rounds some timesteps down, as it turns them into integers
            cosine = self._field("beta_schedule") == "squaredcos_cap_v2"
            down = (cosine and not self._rounds_cosine) or self._field("use_exponential_sigmas")
            timesteps = (between if down else between.round()).astype(np.int64)
        check_falling(sigmas)
        return timesteps, np.append(sigmas, self._last_sigma(sigmas, table)).astype(np.float32)

    def _ends(self, largest: float, smallest: float) -> tuple[float, float]:
        """Return the largest and the smallest sigma of a loop whose sigmas follow a formula."""
        return largest, smallest

    def _timesteps(self, steps: int) -> NDArray[np.int64]:
        spacing, offset = self._field("timestep_spacing"), self._field("steps_offset")
        return solver_timesteps(spacing, steps, self._field("num_train_timesteps"), offset)

    def _last_sigma(self, sigmas: NDArray[Any], table: FloatArray) -> float:
        """Return the sigma behind the last step."""
        return float(table[0]) if self._field("final_sigmas_type") == "sigma_min" else 0.0

    def _sigmas_of(self, steps: int) -> FloatArray:
        return self._levels(steps)[1]

    def _shares_of(self, sigmas: FloatArray) -> FloatArray:
        signal = ONE / np.sqrt(sigmas**2 + ONE)
        return np.stack([signal, sigmas * signal], axis=1)

    def _schedule(
        self,
        timesteps: NDArray[np.int64],
        sigmas: FloatArray,
        start: int,
        forms: list[Forms],
        noise_scale: NDArray[Any] | float = 0.0,
        draws: bool = False,
    ) -> Schedule:
        """Lay out the schedule of a solver with registers.

        Args:
            timesteps: [steps], of the whole loop.
            sigmas: [steps + 1].
            start: Index of the first step that is taken.
            forms: One for each step that is taken.
            noise_scale: [steps - start], see `Row`.
            draws: Whether every step draws noise.
        """
        shares = self._shares_of(sigmas[start:-1])
        rows = make_rows(
            len(shares),
            **x0_columns(self._field("prediction_type"), shares, math.inf),
            noise_scale=noise_scale,
        )
        return Schedule(
            timesteps=timesteps[start:],
            rows=rows_with_registers(rows, forms),
            draws=np.full(len(shares), draws),
            noising=shares,
            rule=StepRule(threshold=self._threshold, registers=forms[0].registers),
        )
