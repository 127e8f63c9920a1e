"""Casts weights to another dtype, and finds values that are no numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from kandinsky_core.arrays import Array
from kandinsky_core.errors import CheckpointError
from kandinsky_core.seam.stored_dtypes import BY_NAME

__all__ = ["all_finite", "cast", "fill", "refuse_non_finite"]

MAX_NAMES_SHOWN = 8
_CHUNK = 1 << 16  # values; this many stay in a core's cache, in two dtypes
_ROWS = 16


def all_finite(array: Array) -> bool:
    """Tell whether no value is NaN or infinite, with hardly any memory."""
    stored = BY_NAME.get(array.dtype.name)
    if stored is None or not stored.floating:
        return True
    if not array.flags.c_contiguous:  # a transposed view: its order does not matter here
        array = array.transpose(np.argsort(array.strides)[::-1])
    if not array.flags.c_contiguous:
        with np.errstate(invalid="ignore"):  # which a signalling NaN sets
            return bool(np.isfinite(array).all())
    # As whole numbers, infinities and NaN are above all other values of their sign.
    signed, unsigned = np.dtype(f"i{stored.size}"), np.dtype(f"u{stored.size}")
    ends = np.array([np.inf, -np.inf], stored.numpy)
    positive, negative = ends.view(signed)[0], ends.view(unsigned)[1]
    values = array.reshape(-1)
    return not any(
        piece.view(signed).max() >= positive or piece.view(unsigned).max() >= negative
        for piece in (values[start : start + _CHUNK] for start in range(0, values.size, _CHUNK))
    )


def fill(target: Array, source: Array) -> bool:
    """Write values into an array of another dtype, and tell whether all are finite there.

    It is one pass: each piece is written and looked at while it is in a core's cache. A value that
    is too large for the dtype becomes infinite, without a warning.

    Args:
        target: The array to write into, C-contiguous.
        source: The values, of the same shape.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        if not source.flags.c_contiguous:
            _copy_by_rows(target, source)
            return all_finite(target)
        written, values = target.reshape(-1), source.reshape(-1)
        finite = True
        for start in range(0, values.size, _CHUNK):
            piece = written[start : start + _CHUNK]
            piece[...] = values[start : start + _CHUNK]
            finite = finite and all_finite(piece)
    return finite


def cast(array: Array, dtype: Any) -> Array:
    """Return the values in another dtype, C-contiguous and aligned.

    An array that is all this already is returned itself. A value that is too large for `dtype`
    becomes infinite, without a warning.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        if array.flags.c_contiguous or array.ndim < 2:
            return np.require(array, dtype, ("C", "A"))
        values: Array = np.empty(array.shape, dtype)
        _copy_by_rows(values, array)
    return values


def _copy_by_rows(target: Array, source: Array) -> None:
    """Copy a transposed array.

    NumPy walks it against its order in memory. A few rows at a time stay in the cache, which is
    three times as fast.
    """
    if source.ndim < 2:
        target[...] = source
        return
    axis = int(np.argmax(source.strides))
    rows, written = np.moveaxis(source, axis, 0), np.moveaxis(target, axis, 0)
    for start in range(0, len(rows), _ROWS):
        written[start : start + _ROWS] = rows[start : start + _ROWS]


@contextmanager
def refuse_non_finite(what: str, dtype: str) -> Iterator[Callable[[str, bool], None]]:
    """Yield a function that notes whether a tensor is finite; the end names all that are not.

    Args:
        what: Name of the weights, for the message.
        dtype: Dtype in which they are checked, for the message.

    Raises:
        CheckpointError: A value is NaN or infinite.
    """
    bad: list[str] = []

    def note(name: str, finite: bool) -> None:
        if not finite:
            bad.append(name)

    yield note
    if bad:
        more = ", ..." if len(bad) > MAX_NAMES_SHOWN else ""
        raise CheckpointError(
            f"{what}: NaN or infinity in {dtype} in {len(bad)} of its tensors "
            f"({', '.join(bad[:MAX_NAMES_SHOWN])}{more}): the file is damaged, or holds values too "
            "large for this dtype; fetch it again, or take float32 or bfloat16"
        )
