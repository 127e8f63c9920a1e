"""Resizes arrays without smoothing them first, as PyTorch and scikit-image do."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kandinsky_core.arrays import Array, FloatArray

__all__ = ["linear", "nearest"]


def linear(planes: Array, height: int, width: int, *, align_corners: bool = False) -> FloatArray:
    """Resize planes: each value lies on the line between the two next to it.

    A much smaller plane skips values. This is `torch.nn.functional.interpolate(mode="bilinear")`,
    and `skimage.transform.resize(preserve_range=True, anti_aliasing=False)`.

    Args:
        planes: Numbers [..., H, W]; what is no float32 is computed in float64.
        height: Rows of the result.
        width: Columns of the result.
        align_corners: Whether the outermost values of both lie on each other; else the outer edges
            of their cells do.

    Returns:
        float32 [..., height, width].
    """
    found = planes if planes.dtype == np.float32 else planes.astype(np.float64)
    for axis, size in ((-2, height), (-1, width)):
        own = found.shape[axis]
        if align_corners:
            places = np.arange(size) * ((own - 1) / max(size - 1, 1))
        else:
            places = np.clip(_centres(own, size) - 0.5, 0, own - 1)
        low = np.minimum(places.astype(np.intp), own - 1)
        high = np.minimum(low + 1, own - 1)
        share = np.expand_dims((places - low).astype(found.dtype), 1 if axis == -2 else 0)
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
