"""Finds which of T5's learned numbers stands for a distance between two tokens."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["relative_buckets"]


def relative_buckets(length: int, count: int, max_distance: int) -> NDArray[np.int32]:
    """Return the bucket of each pair of positions, [L, L]: the row looks at the column.

    Each direction has half of the buckets. Half of a direction's buckets are for the distances
    0, 1, 2, ...; the others widen with the logarithm of the distance (Raffel et al. 2020, section
    2.1, and the code of Mesh TensorFlow).

    Args:
        length: Tokens L.
        count: Buckets, a multiple of 4.
        max_distance: All distances from this one on share a bucket.
    """
    positions = np.arange(length)
    ahead = positions[None] - positions[:, None]
    distance = np.abs(ahead)
    half = count // 2
    exact = half // 2
    # float32 as the reference has it, so that borders between buckets are rounded alike
    ratio = np.log(np.maximum(distance, 1).astype(np.float32) / exact)
    wide = ratio / np.float32(np.log(max_distance / exact)) * (half - exact)
    beyond = np.minimum(exact + np.maximum(wide, 0).astype(np.int32), half - 1)
    bucket = np.where(distance < exact, distance, beyond) + half * (ahead > 0)
    return np.asarray(bucket, np.int32)
