"""Integrals of the polynomial through known values: what multistep solvers are made of."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["interpolation_weights"]


def interpolation_weights(
    points: NDArray[np.float64], moments: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the weight of each value in the integral of the polynomial through them.

    Args:
        points: Where the values are, [N], all different.
        moments: The integral of x^k, k from 0 to N - 1.

    Returns:
        float64 [N].
    """
    weights: NDArray[np.float64] = np.linalg.solve(
        np.vander(points, len(points), increasing=True).T, moments
    )
    return weights
