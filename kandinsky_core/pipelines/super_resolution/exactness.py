"""Corrects an enlarged picture until it shrinks to the small picture again."""

from __future__ import annotations

import numpy as np

from kandinsky_core.arrays import FloatArray
from kandinsky_core.pictures.interpolation import linear

__all__ = ["with_exact_means"]

_SMOOTH_ROUNDS = 8


def with_exact_means(large: FloatArray, small: FloatArray, scale: int) -> FloatArray:
    """Return a picture whose blocks have given means.

    Iterative back-projection (Irani and Peleg 1991): what the means lack is added to the picture,
    first smoothly, in the end block by block. Values that would leave [0, 1] are clipped, so the
    means of such blocks stay off.

    Args:
        large: float32 [scale * h, scale * w, 3] in [0, 1].
        small: float32 [3, h, w] in [-1, 1].
        scale: Side of a block in pixels.

    Returns:
        float32 [scale * h, scale * w, 3] in [0, 1].
    """
    height, width = small.shape[1:]
    wanted = (small + 1) / 2
    found = large.transpose(2, 0, 1)
    for number in range(_SMOOTH_ROUNDS + 1):
        means = found.reshape(3, height, scale, width, scale).mean(axis=(2, 4))
        lacking = wanted - means
        if number < _SMOOTH_ROUNDS:
            more = linear(lacking, scale * height, scale * width)
        else:
            more = lacking.repeat(scale, axis=1).repeat(scale, axis=2)
        found = np.clip(found + more, 0, 1)
    return np.ascontiguousarray(found.transpose(1, 2, 0))
