"""PNDM (Liu et al. 2022, arXiv:2202.09778): pseudo numerical methods of fourth order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from kandinsky_core.errors import InvalidInputError
from kandinsky_core.schedulers.base import Scheduler
from kandinsky_core.schedulers.betas import BETA_SCHEDULES
from kandinsky_core.schedulers.coefficients import variance_preserving, x0_columns
from kandinsky_core.schedulers.registers import Forms, Weights, arrays, rows_with_registers
from kandinsky_core.schedulers.schedule import Schedule, make_rows
from kandinsky_core.schedulers.timesteps import TIMESTEP_SPACINGS, check_steps, spaced_timesteps
from kandinsky_core.seam.step_rules import StepRule

__all__ = ["PNDMScheduler"]

_REGISTERS = 5  # three outputs, newest first; the sample a step began with; a sum of outputs
_RUNGE_KUTTA_STEPS = 3
# weights of the newest outputs in a step, by how many there are: Adams-Bashforth
_MULTISTEP = (
    (1.0,),
    (3 / 2, -1 / 2),
    (23 / 12, -16 / 12, 5 / 12),
    (55 / 24, -59 / 24, 37 / 24, -9 / 24),
)


@dataclass(frozen=True)
class PNDMScheduler(Scheduler):
    """`PNDMScheduler` of diffusers, with its arguments and defaults.

    The first three steps are of Runge and Kutta, with four evaluations of the network each, so that
    n steps take n + 9 evaluations. With `skip_prk_steps` only the first step takes two.
    """

    num_train_timesteps: int = 1000
    beta_start: float = 0.0001
    beta_end: float = 0.02
    beta_schedule: str = "linear"
    trained_betas: Sequence[float] | None = None
    skip_prk_steps: bool = False
    set_alpha_to_one: bool = False
    prediction_type: str = "epsilon"
    timestep_spacing: str = "leading"
    steps_offset: int = 0

    terminal_alpha: ClassVar = math.nan  # no loop can start from a sample without signal
    choices: ClassVar[dict[str, tuple[Any, ...]]] = {
        "beta_schedule": BETA_SCHEDULES,
        "prediction_type": ("epsilon", "v_prediction"),
        "timestep_spacing": TIMESTEP_SPACINGS,
    }
    reasons: ClassVar = {"prediction_type": "diffusers does not define it here"}

    def schedule(self, num_inference_steps: int, start: int = 0) -> Schedule:
        """Return the evaluations of one loop; see `Scheduler.schedule`.

        Raises:
            InvalidInputError: See `Scheduler.schedule`; or fewer than 4 steps are taken without
                `skip_prk_steps`.
        """
        count = self.num_train_timesteps
        steps, start = check_steps(num_inference_steps, start, count)
        falling = spaced_timesteps(self.timestep_spacing, steps, count, self.steps_offset)[start:]
        pace = count // steps
        if self.skip_prk_steps:
            timesteps, forms = self._without_runge_kutta(falling, pace)
        else:
            timesteps, forms = self._with_runge_kutta(falling, pace)
        noising = variance_preserving(self.alphas_cumprod[timesteps])
        rows = make_rows(len(timesteps), **x0_columns(self.prediction_type, noising, math.inf))
        return Schedule(
            timesteps=timesteps,
            rows=rows_with_registers(rows, forms),
            draws=np.zeros(len(timesteps), bool),
            noising=noising,
            rule=StepRule(registers=_REGISTERS),
        )

    def _without_runge_kutta(
        self, falling: NDArray[np.int64], pace: int
    ) -> tuple[NDArray[np.int64], list[Forms]]:
        a = arrays(_REGISTERS)
        nothing = np.zeros_like(a.sample)
        first = falling[0]
        begin = self._moved(a.sample, a.output, first, first - pace)
        forms = [Forms(begin, (a.output, nothing, nothing, a.sample, nothing))]
        if len(falling) == 1:
            return falling, forms
        second, (newest, _, _, begun, _) = falling[1], a.registers
        again = self._moved(begun, (a.output + newest) / 2, second + pace, second)
        forms.append(Forms(again, (newest, nothing, nothing, nothing, nothing)))
        forms += self._multistep(falling[1:], pace, known=1)
        return np.append([first], np.append([second], falling[1:])), forms

    def _with_runge_kutta(
        self, falling: NDArray[np.int64], pace: int
    ) -> tuple[NDArray[np.int64], list[Forms]]:
        if len(falling) <= _RUNGE_KUTTA_STEPS:
            raise InvalidInputError(
                f"PNDM begins with {_RUNGE_KUTTA_STEPS} steps of Runge and Kutta and was to take"
                f" {len(falling)}: take at least {_RUNGE_KUTTA_STEPS + 1}, or skip_prk_steps=True"
            )
        half = pace // 2
        timesteps: list[int] = []
        forms: list[Forms] = []
        for index in range(_RUNGE_KUTTA_STEPS):
            here, there = int(falling[index]), int(falling[index + 1])
            timesteps += [here, there + half, there + half, there]
            forms += self._runge_kutta(here, here - half, there + half, there + half - half, there)
        forms += self._multistep(falling[_RUNGE_KUTTA_STEPS:], pace, known=_RUNGE_KUTTA_STEPS)
        return np.array([*timesteps, *falling[_RUNGE_KUTTA_STEPS:]], np.int64), forms

    def _runge_kutta(self, here: int, *targets: int) -> list[Forms]:
        """Return the four evaluations of a step that begins at a timestep, by where each leads."""
        a = arrays(_REGISTERS)
        newest, older, oldest, begun, total = a.registers
        nothing = np.zeros_like(a.sample)
        first = self._moved(a.sample, a.output, here, targets[0])
        forms = [Forms(first, (a.output, newest, older, a.sample, a.output / 6))]
        for target in targets[1:3]:
            moved = self._moved(begun, a.output, here, target)
            forms.append(Forms(moved, (newest, older, oldest, begun, total + a.output / 3)))
        last = self._moved(begun, total + a.output / 6, here, targets[3])
        return [*forms, Forms(last, (newest, older, oldest, nothing, nothing))]

    def _multistep(self, falling: NDArray[np.int64], pace: int, known: int) -> list[Forms]:
        """Return the steps from timesteps on, where so many earlier outputs are known."""
        a = arrays(_REGISTERS)
        outputs = (a.output, *a.registers[:3])
        nothing = np.zeros_like(a.sample)
        forms = []
        for index, timestep in enumerate(falling):
            weights = _MULTISTEP[min(known + index, 3)]
            pairs = zip(weights, outputs, strict=False)
            mean = sum((weight * output for weight, output in pairs), start=nothing)
            moved = self._moved(a.sample, mean, timestep, timestep - pace)
            forms.append(Forms(moved, (*outputs[:3], nothing, nothing)))
        return forms

    def _moved(self, sample: Weights, output: Weights, here: int, there: int) -> Weights:
        """Return the sample at another timestep: formula 11 of the paper."""
        final = 1.0 if self.set_alpha_to_one else float(self.alphas_cumprod[0])
        alpha = float(self.alphas_cumprod[here])
        alpha_next = float(self.alphas_cumprod[there]) if there >= 0 else final
        if self.prediction_type == "v_prediction":
            output = math.sqrt(alpha) * output + math.sqrt(1 - alpha) * sample
        divisor = alpha * math.sqrt(1 - alpha_next) + math.sqrt(alpha * (1 - alpha) * alpha_next)
        return math.sqrt(alpha_next / alpha) * sample - (alpha_next - alpha) / divisor * output

    def _from(self, first: int) -> Schedule:
        if first:
            raise InvalidInputError(
                f"PNDM's loop cannot begin at index {first}, as its evaluations depend on their"
                " number: begin with the first timestep"
            )
        return super()._from(first)
