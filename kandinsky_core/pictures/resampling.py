"""Resizes arrays of floats as PyTorch's bilinear interpolation does."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kandinsky_core.arrays import FloatArray

__all__ = ["resize_bilinear"]


def resize_bilinear(
    pixels: FloatArray, height: int, width: int, *, align_corners: bool = False
) -> FloatArray:
    """Resize pictures without filtering, as `torch.nn.functional.interpolate` does.

    Args:
        pixels: float32 [..., H, W].
        height: Rows of the result.
        width: Columns of the result.
        align_corners: Whether the outermost pixels of both pictures lie on each other; else their
            outer edges do.

    Returns:
        float32 [..., height, width].
    """
    left, right, share = _neighbours(pixels.shape[-1], width, align_corners)
    pixels = pixels[..., left] * (1 - share) + pixels[..., right] * share
    top, bottom, share = _neighbours(pixels.shape[-2], height, align_corners)
    share = share[:, None]
    resized: FloatArray = pixels[..., top, :] * (1 - share) + pixels[..., bottom, :] * share
    return resized


def _neighbours(
    before: int, after: int, align_corners: bool
) -> tuple[NDArray[np.intp], NDArray[np.intp], FloatArray]:
    """Return for each new pixel the old ones on both sides of it, and the share of the second."""
    place = np.arange(after, dtype=np.float32)
    if align_corners:
        place *= np.float32((before - 1) / max(after - 1, 1))
    else:
        place = np.maximum(
            (place + np.float32(0.5)) * np.float32(before / after) - np.float32(0.5), 0
        )
    first = np.minimum(place.astype(np.intp), before - 1)
    return first, np.minimum(first + 1, before - 1), (place - first).astype(np.float32)
