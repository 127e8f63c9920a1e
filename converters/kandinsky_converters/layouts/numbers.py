"""Casts weights to another dtype, and finds values that are no numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from kandinsky_core.arrays import Array
from kandinsky_core.errors import CheckpointError
from kandinsky_core.seam.stored_dtypes import BY_NAME

__all__ = ["all_finite", "cast", "recast", "refuse_non_finite"]

MAX_NAMES_SHOWN = 8
_CHUNK = 1 << 18  # values; this many stay in a core's cache
_ROWS = 16


def all_finite(array: Array) -> bool:
    """Tell whether no value is NaN or infinite, with hardly any memory."""
    stored = BY_NAME.get(array.dtype.name)
    if stored is None or not stored.floating:
        return True
    if not array.flags.c_contiguous:  # a transposed view: its order does not matter here
        array = array.transpose(np.argsort(array.strides)[::-1])
    if not array.flags.c_contiguous:
        return bool(np.isfinite(array).all())
    kind = np.dtype(f"u{stored.size}")
    # The bits of the exponent: all of them are set in infinities and NaN alone.
    bits, mask = array.reshape(-1).view(kind), np.array(np.inf, stored.numpy).view(kind)
    return not any(
        (bits[start : start + _CHUNK] & mask).max() == mask for start in range(0, bits.size, _CHUNK)
    )


def recast(array: Array, dtype: Any) -> Array:
    """Return the values in another dtype; their axes keep their order in memory. See `cast`."""
    with np.errstate(over="ignore"):
        return np.asarray(array, dtype)


def cast(array: Array, dtype: Any) -> Array:
    """Return the values in another dtype, C-contiguous and aligned.

    An array that is all this already is returned itself. A value that is too large for `dtype`
    becomes infinite, without a warning.
    """
    with np.errstate(over="ignore"):
        if array.flags.c_contiguous or array.ndim < 2:
            return np.require(array, dtype, ("C", "A"))
        # NumPy walks a transposed array against its order in memory. A few rows at a time stay in
        # the cache, which is three times as fast.
        values: Array = np.empty(array.shape, dtype)
        axis = int(np.argmax(array.strides))
        source, target = np.moveaxis(array, axis, 0), np.moveaxis(values, axis, 0)
        for start in range(0, len(source), _ROWS):
            target[start : start + _ROWS] = source[start : start + _ROWS]
    return values


@contextmanager
def refuse_non_finite(what: str, dtype: str) -> Iterator[Callable[[str, Array], None]]:
    """Yield a function that checks one tensor; the end of the block names all bad tensors.

    Args:
        what: Name of the weights, for the message.
        dtype: Dtype in which they are checked, for the message.

    Raises:
        CheckpointError: A value is NaN or infinite.
    """
    bad: list[str] = []

    def check(name: str, array: Array) -> None:
        if not all_finite(array):
            bad.append(name)

    yield check
    if bad:
        more = ", ..." if len(bad) > MAX_NAMES_SHOWN else ""
        raise CheckpointError(
            f"{what}: NaN or infinity in {dtype} in {len(bad)} of its tensors "
            f"({', '.join(bad[:MAX_NAMES_SHOWN])}{more}): the file is damaged, or holds values too "
            "large for this dtype; fetch it again, or take float32 or bfloat16"
        )
