"""Latent consistency models (Luo et al. 2023): networks that were distilled to few steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from kandinsky_core.errors import InvalidInputError
from kandinsky_core.schedulers.base import Scheduler
from kandinsky_core.schedulers.betas import BETA_SCHEDULES
from kandinsky_core.schedulers.coefficients import variance_preserving, x0_columns
from kandinsky_core.schedulers.outside_arrays import float32_array, like
from kandinsky_core.schedulers.schedule import Schedule, make_rows
from kandinsky_core.schedulers.step_output import SchedulerOutput
from kandinsky_core.schedulers.timesteps import check_steps
from kandinsky_core.seam.step_rules import StepRule

__all__ = ["LCMScheduler"]

_SIGMA_DATA = 0.5


@dataclass(frozen=True)
class LCMScheduler(Scheduler):
    """`LCMScheduler` of diffusers, with its arguments and defaults.

    It is for networks that were distilled for it, by a LoRA for example; others give blurred
    pictures. `set_alpha_to_one`, `steps_offset` and `timestep_spacing` have no effect, as in
    diffusers.
    """

    num_train_timesteps: int = 1000
    beta_start: float = 0.00085
    beta_end: float = 0.012
    beta_schedule: str = "scaled_linear"
    trained_betas: Sequence[float] | None = None
    original_inference_steps: int = 50
    clip_sample: bool = False
    clip_sample_range: float = 1.0
    set_alpha_to_one: bool = True
    steps_offset: int = 0
    prediction_type: str = "epsilon"
    thresholding: bool = False
    dynamic_thresholding_ratio: float = 0.995
    sample_max_value: float | None = 1.0
    timestep_spacing: str = "leading"
    timestep_scaling: float = 10.0
    rescale_betas_zero_snr: bool = False

    choices: ClassVar[dict[str, tuple[Any, ...]]] = {
        "beta_schedule": BETA_SCHEDULES,
        "prediction_type": ("epsilon", "sample", "v_prediction"),
        "thresholding": (False, True),
        "rescale_betas_zero_snr": (False, True),
    }

    def schedule(self, num_inference_steps: int, start: int = 0) -> Schedule:
        """Return the steps of one loop; see `Scheduler.schedule`.

        The timesteps are among the `original_inference_steps` that the network was distilled at.
        Each step mixes the predicted clean sample with the present one and noises the result to
        the next timestep; the last one leaves it as it is.

        Raises:
            InvalidInputError: There are more steps than the network was distilled at.
        """
        count = self.num_train_timesteps
        steps, start = check_steps(num_inference_steps, start, count)
        original = min(self.original_inference_steps, count)
        if steps > original:
            raise InvalidInputError(
                f"num_inference_steps={num_inference_steps!r}: the network was distilled at"
                f" original_inference_steps={original}: take at most as many steps"
            )
        falling = (np.arange(original, 0, -1) * (count // original) - 1).astype(np.int64)
        places = np.floor(np.linspace(0, original, steps, endpoint=False)).astype(np.int64)
        timesteps = falling[places][start:]
        noising = variance_preserving(self.alphas_cumprod[timesteps])
        following = np.append(noising[1:], np.array([[1, 0]], np.float32), axis=0)
        skip, out = self._boundary(timesteps)
        rows = make_rows(
            len(timesteps),
            **x0_columns(self.prediction_type, noising, self._x0_limit),
            mean_from_x0=following[:, 0] * out,
            mean_from_sample=following[:, 0] * skip,
            noise_scale=following[:, 1],
        )
        draws = np.arange(len(timesteps)) < len(timesteps) - 1
        rule = StepRule(threshold=self._threshold)
        return Schedule(timesteps=timesteps, rows=rows, draws=draws, noising=noising, rule=rule)

    def step(
        self,
        model_output: Any,
        timestep: Any,
        sample: Any,
        generator: Any = None,
        variance_noise: Any = None,
        return_dict: bool = True,
    ) -> SchedulerOutput | tuple[Any, ...]:
        """Take one step of a hand-written loop; see `HandLoop.step`.

        The result has `denoised`, the mixture that is noised again; a tuple has it second.
        """
        taken = super().step(model_output, timestep, sample, generator, variance_noise)
        assert isinstance(taken, SchedulerOutput)
        loop = self._running()
        assert loop.index is not None
        skip, out = self._boundary(loop.whole.timesteps[loop.index - 1 :][:1])
        clean = float32_array("clean sample", taken.pred_original_sample)
        present = float32_array("sample", sample)
        mixed = like(sample, np.float32(out) * clean + np.float32(skip) * present)
        if not return_dict:
            return taken.prev_sample, mixed
        return SchedulerOutput(taken.prev_sample, taken.pred_original_sample, mixed)

    def _boundary(self, timesteps: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the shares of the present sample and of the predicted one: they meet at 0."""
        scaled = timesteps * float(self.timestep_scaling)
        square = scaled**2 + _SIGMA_DATA**2
        return _SIGMA_DATA**2 / square, scaled / np.sqrt(square)
