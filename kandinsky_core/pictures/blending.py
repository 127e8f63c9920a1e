"""Joins overlapping tiles as AutoencoderKL's tiled decoding does: seams fade in, then are cut."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from kandinsky_core.arrays import FloatArray

__all__ = ["blended", "cut_tiles"]


def cut_tiles(array: FloatArray, size: int, stride: int) -> Iterator[list[FloatArray]]:
    """Yield rows of tiles of [B, C, H, W]; those at the right and at the bottom may be short."""
    height, width = array.shape[-2:]
    for top in range(0, height, stride):
        yield [array[..., top : top + size, left : left + size] for left in range(0, width, stride)]


def blended(rows: Sequence[Sequence[FloatArray]], blend: int, keep: int) -> FloatArray:
    """Join tiles.

    Args:
        rows: Tiles [B, C, h, w] row by row; they are not changed.
        blend: How far into a tile the end of the tile above, then of the one before it, fades.
        keep: Rows and columns of each tile that are kept.

    Returns:
        [B, C, H, W].
    """
    done: list[list[FloatArray]] = []
    for number, row in enumerate(rows):
        made: list[FloatArray] = []
        for column, part in enumerate(row):
            tile = np.array(part)
            if number:
                _fade(done[-1][column], tile, blend, axis=-2)
            if column:
                _fade(made[-1], tile, blend, axis=-1)
            made.append(tile)
        done.append(made)
    kept = [[tile[..., :keep, :keep] for tile in row] for row in done]
    return np.concatenate([np.concatenate(row, axis=-1) for row in kept], axis=-2)


def _fade(before: FloatArray, tile: FloatArray, blend: int, axis: int) -> None:
    """Write a mixture of the end of the tile before into the start of a tile."""
    extent = min(before.shape[axis], tile.shape[axis], blend)
    if not extent:
        return
    end = np.moveaxis(before, axis, 0)[-extent:]
    start = np.moveaxis(tile, axis, 0)[:extent]  # a view
    share = (np.arange(extent, dtype=np.float32) / extent).reshape(-1, *[1] * (start.ndim - 1))
    start[:] = end * (1 - share) + start * share
