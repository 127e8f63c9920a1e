"""UniPC (Zhao et al. 2023): a predictor, and a corrector that costs no evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from kandinsky_core.arrays import FloatArray
from kandinsky_core.schedulers.quadrature import interpolation_weights
from kandinsky_core.schedulers.registers import Forms, Weights, arrays
from kandinsky_core.schedulers.schedule import Schedule
from kandinsky_core.schedulers.sigmas import require_ends
from kandinsky_core.schedulers.solver_scheduler import (
    SOLVER_CHOICES,
    SOLVER_REASONS,
    SolverScheduler,
)
from kandinsky_core.schedulers.timesteps import TIMESTEP_SPACINGS, check_steps
from kandinsky_core.seam.step_rules import Threshold

__all__ = ["UniPCMultistepScheduler"]


@dataclass(frozen=True)
class UniPCMultistepScheduler(SolverScheduler):
    """`UniPCMultistepScheduler` of diffusers, with its arguments and defaults; of order 1 to 3.

    `solver_type` of another solver's config counts as `bh2`, as in diffusers. `sigma_min`,
    `sigma_max` bound the sigmas that `use_karras_sigmas` or `use_exponential_sigmas` choose.
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
    predict_x0: bool = True
    solver_type: str = "bh2"
    lower_order_final: bool = True
    disable_corrector: Sequence[int] = ()
    solver_p: str | None = None
    use_karras_sigmas: bool | None = False
    use_exponential_sigmas: bool | None = False
    use_beta_sigmas: bool | None = False
    use_flow_sigmas: bool | None = False
    flow_shift: float | None = 1.0
    timestep_spacing: str = "linspace"
    steps_offset: int = 0
    final_sigmas_type: str = "zero"
    rescale_betas_zero_snr: bool = False
    use_dynamic_shifting: bool = False
    time_shift_type: str = "exponential"
    sigma_min: float | None = None
    sigma_max: float | None = None
    shift_terminal: float | None = None

    choices: ClassVar[dict[str, tuple[Any, ...]]] = SOLVER_CHOICES | {
        "solver_order": (1, 2, 3),
        "solver_type": ("bh1", "bh2"),
        "solver_p": (None,),
        "final_sigmas_type": ("zero", "sigma_min"),
        "timestep_spacing": TIMESTEP_SPACINGS,
        "rescale_betas_zero_snr": (False, True),
        "shift_terminal": (None,),
    }
    reasons: ClassVar = SOLVER_REASONS | {
        "solver_p": "a config cannot hold another solver",
        "shift_terminal": "Kandinsky 2 is no flow model",
    }
    aliases: ClassVar = {"solver_type": dict.fromkeys(("midpoint", "heun", "logrho"), "bh2")}

    def __post_init__(self) -> None:
        super().__post_init__()
        require_ends(self)

    def schedule(self, num_inference_steps: int, start: int = 0) -> Schedule:
        """Return the steps of one loop; see `Scheduler.schedule`.

        Each step but the first corrects the present sample by what the network now says of it, and
        predicts the next sample from there. The first step is of first order.
        """
        steps, start = check_steps(num_inference_steps, start, self.num_train_timesteps)
        timesteps, sigmas = self._levels(steps)
        solver = _Solver(self, self._shares_of(sigmas))
        orders = self._orders(steps, start)
        forms = [solver.form(index, orders, start) for index in range(start, steps)]
        return self._schedule(timesteps, sigmas, start, forms)

    def _ends(self, largest: float, smallest: float) -> tuple[float, float]:
        return (
            largest if self.sigma_max is None else self.sigma_max,
            smallest if self.sigma_min is None else self.sigma_min,
        )

    def _last_sigma(self, sigmas: NDArray[Any], table: FloatArray) -> float:
        formula = self.use_karras_sigmas or self.use_exponential_sigmas
        if self.final_sigmas_type == "sigma_min" and formula:
            return float(sigmas[-1])
        return super()._last_sigma(sigmas, table)

    @property
    def _threshold(self) -> Threshold | None:
        return super()._threshold if self.predict_x0 else None

    def _orders(self, steps: int, start: int) -> NDArray[np.int64]:
        """Return the order of each step of the whole loop, [steps]."""
        orders = (np.arange(steps) - start + 1).clip(1, self.solver_order)
        return np.minimum(orders, np.arange(steps, 0, -1)) if self.lower_order_final else orders


class _Solver:
    """Writes the steps of a loop in weights.

    A step's registers are the corrected sample that the step before began with, and the last
    predictions, newest first.
    """

    def __init__(self, config: UniPCMultistepScheduler, shares: FloatArray) -> None:
        self._config = config
        self._signal, self._noise = shares.T.astype(np.float64)  # [steps + 1]
        with np.errstate(divide="ignore"):
            self._lambda = np.log(self._signal) - np.log(self._noise)
        self._arrays = arrays(1 + config.solver_order)

    def form(self, index: int, orders: NDArray[np.int64], start: int) -> Forms:
        """Return the step with this number; `orders` are those of all steps."""
        a = self._arrays
        begun, *earlier = a.registers
        now, sample = self._prediction(index), a.sample
        if index > start and index - 1 not in self._config.disable_corrector:
            order = int(orders[index - 1])
            sample = self._moved(begun, [*earlier[:order]], index - 1, order, corrected=now)
        values = [now, *earlier]
        order = int(orders[index])
        if self._lambda[index + 1] in (np.inf, self._lambda[index]):
            order = 1  # a step of no length, or to a clean sample, has no curvature
        following = self._moved(sample, values[:order], index, order)
        return Forms(following, (sample, *values[: self._config.solver_order]))

    def _prediction(self, index: int) -> Weights:
        """Return the clean sample or the noise that the network predicts."""
        a = self._arrays
        if self._config.predict_x0:
            return a.x0
        if self._config.prediction_type == "epsilon":
            return a.output
        noise: Weights = (a.sample - self._signal[index] * a.x0) / self._noise[index]
        return noise

    def _moved(
        self,
        sample: Weights,
        values: list[Weights],
        index: int,
        order: int,
        corrected: Weights | None = None,
    ) -> Weights:
        """Return the sample after a step: formulas 3 and 9 of the paper.

        Args:
            sample: The sample that the step begins with.
            values: Predictions at the step's beginning and before, newest first.
            index: The step's number.
            order: Its order.
            corrected: The prediction at the step's end; None predicts without it.
        """
        h = self._lambda[index + 1] - self._lambda[index]
        signed = -h if self._config.predict_x0 else h
        base = np.expm1(signed) if self._config.solver_type == "bh2" else signed
        earlier = self._lambda[index - np.arange(1, order)] - self._lambda[index]
        places = np.append(earlier / h, [1.0] if corrected is not None else [])
        points = values[1:] + ([] if corrected is None else [corrected])
        weights = _weights(
            places, signed, base, simple=order == (1 if corrected is not None else 2)
        )
        bend = sum(
            (
                weight / place * (point - values[0])
                for weight, place, point in zip(weights, places, points, strict=True)
            ),
            start=np.zeros_like(sample),
        )
        near, far = (
            (self._noise, self._signal) if self._config.predict_x0 else (self._signal, self._noise)
        )
        ratio = near[index + 1] / near[index]
        # far * expm1(signed) without the infinity of a step to a clean sample
        moved: Weights = ratio * sample - (ratio * far[index] - far[index + 1]) * values[0]
        if points:
            moved = moved - far[index + 1] * base * bend
        return moved


def _weights(
    places: NDArray[np.float64], h: float, base: float, simple: bool
) -> NDArray[np.float64]:
    """Return the weights of the differences at places, in units of the step: formula 4.

    `simple` takes 1/2 for a single difference, which keeps the order.
    """
    count = len(places)
    if simple or not count:
        return np.full(count, 0.5)
    moment, factorial = np.expm1(h) / h - 1, 1.0
    wanted = np.empty(count)
    for power in range(count):
        wanted[power] = moment * factorial / base
        factorial *= power + 2
        moment = moment / h - 1 / factorial
    return interpolation_weights(places, wanted)
