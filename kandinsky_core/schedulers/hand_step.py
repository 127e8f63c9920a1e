"""The arithmetic of one step of a hand-written loop, around `step` of `schedule.py`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from kandinsky_core.arrays import FloatArray
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.schedulers.outside_arrays import draw_noise, float32_array, like
from kandinsky_core.schedulers.schedule import Schedule, step

__all__ = ["NoiseSource", "row_columns", "same_shape", "take_step"]


@dataclass(frozen=True, slots=True)
class NoiseSource:
    """Where a step's noise comes from: a generator, or the noise itself.

    Raises:
        InvalidInputError: Both are given.
    """

    generator: Any = None
    noise: Any = None

    def __post_init__(self) -> None:
        if self.generator is not None and self.noise is not None:
            raise InvalidInputError("give either generator or variance_noise, not both")

    def draw(self, shape: tuple[int, ...], example: Any) -> FloatArray:
        """Return standard normals of a shape."""
        if self.noise is None:
            return draw_noise(self.generator, shape, example)
        given = float32_array("variance_noise", self.noise)
        if given.shape != shape:
            raise InvalidInputError(f"variance_noise has shape {given.shape}, the sample {shape}")
        return given


def take_step(
    schedule: Schedule,
    index: int,
    model_output: Any,
    sample: Any,
    remembered: Any,
    noise: NoiseSource,
) -> tuple[Any, Any, Any]:
    """Apply one row of a schedule to arrays of NumPy or PyTorch.

    Args:
        schedule: The schedule.
        index: Index of the row.
        model_output: The network's output, [B, C or 2C, ...].
        sample: The present sample, [B, C, ...].
        remembered: What the last step returned as its third value, or None.
        noise: Where noise comes from, if the step draws any.

    Returns:
        The next sample and the predicted clean sample, both like `sample`; and what the next step
        must be given as `remembered`.

    Raises:
        InvalidInputError: The shapes of output and sample do not fit.
    """
    x, output = float32_array("sample", sample), float32_array("model_output", model_output)
    variance = None
    learned = schedule.rule.learned_variance
    if learned and output.ndim > 1 and output.shape[1] == 2 * x.shape[1]:
        output, variance = np.split(output, 2, axis=1)
    if output.shape != x.shape or (learned and variance is None):
        wanted = (
            "twice the sample's channels, for the variance" if learned else "the sample's shape"
        )
        raise InvalidInputError(
            f"model_output has shape {output.shape} and sample {x.shape}: give {wanted}"
        )
    following, remembered = step(
        schedule.rows[index],
        x,
        output,
        remembered,
        noise.draw(x.shape, sample) if schedule.draws[index] else None,
        variance=variance,
        threshold=schedule.rule.threshold,
        sort=np.sort,
    )
    clean = remembered[0] if isinstance(remembered, tuple) else remembered
    return like(sample, following), like(sample, clean), remembered


def same_shape(first: str, array: Any, second: str, other: Any) -> tuple[FloatArray, FloatArray]:
    """Return two arguments as float32 arrays of one shape.

    Raises:
        InvalidInputError: Their shapes differ; the message names them.
    """
    left, right = float32_array(first, array), float32_array(second, other)
    if left.shape != right.shape:
        raise InvalidInputError(
            f"{first} has shape {left.shape} and {second} {right.shape}: give the same shape"
        )
    return left, right


def row_columns(shares: FloatArray, array: FloatArray, name: str) -> FloatArray:
    """Shape numbers [B or 1, 2] for products with the rows of an array, as [B or 1, 2, 1, ...].

    Raises:
        InvalidInputError: There are neither one nor as many numbers as rows.
    """
    if len(shares) not in (1, len(array)):
        raise InvalidInputError(
            f"{name} has {len(shares)} entries for {len(array)} rows: give one, or one for each row"
        )
    return shares.reshape(-1, 2, *[1] * (array.ndim - 1))
