"""The denoising loop, written once for the prior and the decoder, and for every backend."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np

from kandinsky_core.arrays import Array, FloatArray
from kandinsky_core.errors import NonFiniteError
from kandinsky_core.schedulers.schedule import Schedule
from kandinsky_core.seam.compile_only import compiling_only
from kandinsky_core.seam.control import LoopNetwork
from kandinsky_core.seam.networks import DenoisingRun
from kandinsky_core.seam.step_rules import Kept

__all__ = ["OnStep", "denoise", "require_finite"]


class OnStep(Protocol):
    """A function that the loop calls after each step."""

    def __call__(self, index: int, timestep: int, run: DenoisingRun) -> bool:
        """Observe or change the run; return False to skip the remaining steps."""
        ...


def denoise(
    denoiser: LoopNetwork,
    sample: FloatArray,
    schedule: Schedule,
    conditioning: Mapping[str, Array],
    *,
    guidance_scale: float,
    noise: Callable[[], FloatArray],
    on_step: OnStep | None = None,
    kept: Kept | None = None,
    guidance_rescale: float | None = None,
) -> FloatArray:
    """Denoise a sample: run the network once for each step of a schedule.

    Args:
        denoiser: The prior or the UNet.
        sample: Initial sample (B rows), at the noise of the schedule's first timestep.
        schedule: The steps, one row for each.
        conditioning: See `Denoiser.begin`.
        guidance_scale: Weight of classifier-free guidance; off at 1 and below.
        noise: Draws the next step's noise, of the sample's shape. It is called in order, once for
            each step where the reference draws, so that a seed gives the same stream.
        on_step: Called after each step.
        kept: The part of the picture that inpainting puts back after every step.
        guidance_rescale: See `Denoiser.begin`.

    Returns:
        The denoised sample.
    """
    run = denoiser.begin(
        sample,
        conditioning,
        guidance_scale,
        rule=schedule.rule,
        kept=kept,
        guidance_rescale=guidance_rescale,
    )
    for index in range(len(schedule)):
        timestep = schedule.timesteps[index]
        drawn = noise() if schedule.draws[index] else None
        run.step(float(timestep), schedule.rows[index], drawn)
        if on_step is not None and not on_step(index, int(timestep), run):
            break
        if compiling_only():  # all steps run the same program
            break
    return run.read()


def require_finite(values: Array, stage: str, dtype: str) -> None:
    """Refuse the output of a stage that holds NaN or infinity.

    Raises:
        NonFiniteError: A value is NaN or infinite. The message names the stage, the number of bad
            values, and the remedy.
    """
    bad = values.size - int(np.isfinite(values).sum())
    if bad:
        remedy = (
            "its weights or inputs hold such values"
            if dtype == "float32"
            else f"{dtype} overflowed; use dtype='float32'"
            + (" or 'bfloat16'" if dtype == "float16" else "")
        )
        raise NonFiniteError(
            f"{stage} gave {bad} of {values.size} values NaN or infinite: {remedy}"
        )
