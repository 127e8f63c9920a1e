"""Rounds weights to 8 bits, a few rows at a time, and makes weights of them again."""

from __future__ import annotations

import math
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

from kandinsky_core.arrays import Array, FloatArray
from kandinsky_core.seam.quantization import LARGEST

__all__ = ["dequantized_rows", "quantized_rows"]

_CHUNK = 1 << 20  # numbers that are in float32 at a time


def quantized_rows(
    weight: Array, kind: npt.DTypeLike = np.float32
) -> tuple[npt.NDArray[np.int8], FloatArray]:
    """Round each row of a weight to whole numbers times the row's step.

    In PyTorch's layout a row is what makes one channel of the output, or one row of a table. The
    largest magnitude of a row becomes 127, and zero stays zero. At most a million numbers are in
    float32 at a time, or one row.

    Args:
        weight: [n, ...], of any floating dtype; it may be a window into a file.
        kind: The dtype that steps are multiplied in. In one narrower than float32 a step is the
            next larger number that it has, so that no row exceeds 127.

    Returns:
        The whole numbers in the shape of the weight, int8, and the steps, [n], float32. The step of
        a row with NaN or infinity is not finite.
    """
    rows = np.empty(weight.shape, np.int8)
    steps = np.empty(len(weight), np.float32)
    together = max(1, _CHUNK // max(1, math.prod(weight.shape[1:])))
    axes = tuple(range(1, weight.ndim))
    # Such a row is refused by its step; a float64 may exceed float32, and is refused then too.
    with np.errstate(invalid="ignore", over="ignore"):
        for start in range(0, len(weight), together):
            part = np.array(weight[start : start + together], np.float32)
            largest = np.maximum(part.max(axis=axes), -part.min(axis=axes))
            step = (largest / np.float32(LARGEST)).astype(np.float32)
            # Below float32's normal numbers there is no exact step, and devices take them for zero.
            step[step < np.finfo(np.float32).tiny] = 0
            step = _held_by(np.dtype(kind), step)
            divisor = np.where(step == 0, np.float32(np.inf), step)
            part /= divisor.reshape(-1, *[1] * len(axes))
            np.rint(part, out=part)
            rows[start : start + together] = part
            steps[start : start + together] = step
    return rows, steps


def _held_by(kind: np.dtype[Any], steps: FloatArray) -> FloatArray:
    """Return for each step the smallest normal number of a dtype that is no smaller; zero stays."""
    if kind == np.float32:
        return steps
    near = steps.astype(kind)
    # Behind each number of a floating dtype the next larger one has the next larger bits.
    above = (near.view(np.uint16) + np.uint16(1)).view(kind)
    up = np.where(near.astype(np.float32) < steps, above, near).astype(np.float32)
    smallest = np.float32(ml_dtypes.finfo(kind).tiny)  # type: ignore[no-untyped-call]
    return np.where(steps == 0, np.float32(0), np.maximum(up, smallest))


def dequantized_rows(rows: Array, steps: Array) -> FloatArray:
    """Return the weights that whole numbers and steps stand for, float32: [n, ...], [n]."""
    wide = np.asarray(rows, np.float32)
    return wide * np.asarray(steps, np.float32).reshape(-1, *[1] * (wide.ndim - 1))
