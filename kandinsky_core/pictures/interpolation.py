"""Resizes a plane of numbers as scikit-image does, which ai-forever's code resizes masks with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kandinsky_core.arrays import Array, FloatArray

__all__ = ["linear", "nearest"]


def linear(plane: Array, height: int, width: int) -> FloatArray:
    """Return [height, width]: each value lies on the line between the two next to it.

    Nothing is smoothed first, so a much smaller plane skips values. This is
    `skimage.transform.resize(plane, (height, width), preserve_range=True, anti_aliasing=False)`.

    Args:
        plane: Numbers [H, W].
        height: Rows of the result.
        width: Columns of the result.
    """
    found = plane.astype(np.float64)
    for axis, size in enumerate((height, width)):
        places = np.clip(_centres(found.shape[axis], size) - 0.5, 0, found.shape[axis] - 1)
        low = places.astype(np.intp)
        high = np.minimum(low + 1, found.shape[axis] - 1)
        share = np.expand_dims(places - low, 1 - axis)
        found = found.take(low, axis) * (1 - share) + found.take(high, axis) * share
    return found.astype(np.float32)


def nearest(plane: Array, height: int, width: int) -> Array:
    """Return [height, width] of values of the plane, as scikit-image resizes booleans."""
    rows, columns = (
        _centres(own, size).astype(np.intp)
        for own, size in zip(plane.shape, (height, width), strict=True)
    )
    found: Array = plane[np.ix_(rows, columns)]
    return found


def _centres(own: int, size: int) -> NDArray[np.float64]:
    """Return where the centres of `size` cells lie on an axis of `own` cells, whose ends are 0."""
    return (np.arange(size) + 0.5) * (own / size)
