"""One step of a denoising loop: the network's rows, guidance, and one row of the schedule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kandinsky_core.arrays import FloatArray
from kandinsky_core.schedulers.schedule import Row, step
from kandinsky_core.seam.step_rules import Kept, StepRule

__all__ = ["ArrayFunctions", "clean_sample", "guide", "guided_step", "rescaled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayFunctions:
    """The array functions of a framework that differ between frameworks.

    Attributes:
        concatenate: Joins arrays along their first axis.
        split_channels: Cuts an array into its first channels, as many as are given, and the others.
        halve: Cuts an array into two equal parts along its first axis.
        sort: Sorts along the last axis.
    """

    concatenate: Callable[[Sequence[Any]], Any]
    split_channels: Callable[[Any, int], Sequence[Any]]
    halve: Callable[[Any], Sequence[Any]]
    sort: Callable[[Any], Any]


_SMALLEST = 1e-20


def clean_sample(
    remembered: Any, shape: Sequence[int], read: Callable[[Any], FloatArray]
) -> FloatArray:
    """Return the clean sample that the last step predicted, which every step remembers.

    Args:
        remembered: What `guided_step` returned, or None before the first step.
        shape: The shape of the zeros that there are before the first step.
        read: Turns the framework's array into NumPy's.
    """
    first = remembered[0] if isinstance(remembered, tuple) else remembered
    return np.zeros(shape, np.float32) if first is None else read(first)


def guide(unconditional: Any, conditional: Any, scale: Any) -> Any:
    """Return classifier-free guidance's prediction (Ho and Salimans 2022).

    Args:
        unconditional: The network's output without the prompt, or for the negative one.
        conditional: Its output for the prompt, of the same shape.
        scale: How far to go from the first to the second; 1 stops there.
    """
    return unconditional + scale * (conditional - unconditional)


def rescaled(guided: Any, conditional: Any, share: Any) -> Any:
    """Bring a guided prediction back to the deviation of the conditional one (Lin et al. 2023).

    Source: equations 15 and 16 of "Common Diffusion Noise Schedules and Sample Steps are Flawed".

    Args:
        guided: The result of `guide`, [B, ...].
        conditional: The network's output for the prompt, of the same shape.
        share: 1 takes the result with that deviation, 0 the prediction as it was.
    """
    # A prediction that is the same everywhere has no deviation, and is to stay as it is.
    ratio = _deviation(conditional) / _deviation(guided).clip(_SMALLEST, None)
    factor = (share * ratio + (1 - share)).reshape(-1, *[1] * (guided.ndim - 1))
    return guided * factor


def _deviation(rows: Any) -> Any:
    """Return the deviation of each row, [B]; a constant factor of all of them does not matter."""
    flat = rows.reshape(len(rows), -1)
    return ((flat - flat.mean(axis=1).reshape(-1, 1)) ** 2).mean(axis=1) ** 0.5


def guided_step(
    functions: ArrayFunctions,
    predict: Callable[[Any], Any],
    row: Any,
    sample: Any,
    remembered: Any,
    noise: Any,
    *,
    channels: int,
    guidance_scale: Any,
    rule: StepRule,
    kept: Kept | None,
    guidance_rescale: Any = None,
) -> tuple[Any, Any]:
    """Run the network on the sample, guide its output, and take the step.

    Args:
        functions: The framework's array functions.
        predict: The network: it takes rows like those of `sample` and returns its output for each
            in float32. The output may have twice as many channels; the second half is about the
            variance.
        row: One row of `Schedule.rows`.
        sample: Present sample, float32, B rows.
        remembered: See `step`.
        noise: See `step`.
        channels: Number of channels of the sample.
        guidance_scale: Weight of guidance; None without guidance. With it the network gets the
            sample twice, in 2B rows; the first half is unconditional.
        rule: How the step is computed.
        kept: See `step`.
        guidance_rescale: The share of `rescaled`; None leaves it out.

    Returns:
        The next sample, and what the next step must be given as `remembered`.
    """
    row = Row.of(row)
    shown = row.input_scale * sample
    output = predict(shown if guidance_scale is None else functions.concatenate([shown, shown]))
    output, variance = functions.split_channels(output, channels)
    if guidance_scale is not None:
        unconditional, conditional = functions.halve(output)
        output = guide(unconditional, conditional, guidance_scale)
        if guidance_rescale is not None:
            output = rescaled(output, conditional, guidance_rescale)
        variance = functions.halve(variance)[1]
    return step(
        row,
        sample,
        output,
        remembered,
        noise,
        variance=variance if rule.learned_variance else None,
        threshold=rule.threshold,
        sort=functions.sort,
        kept=kept,
        blends_x0=rule.blends_x0,
    )
