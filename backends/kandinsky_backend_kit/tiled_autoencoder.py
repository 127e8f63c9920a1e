"""Converts large pictures with MoVQ in tiles that overlap, for a fraction of the memory."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from kandinsky_core.arrays import FloatArray
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.foreign_names import NoOp
from kandinsky_core.seam.networks import Tiling

__all__ = ["TiledAutoencoder"]


class TiledAutoencoder:
    """Base of each backend's autoencoder: it tiles large pictures, a subclass converts one array.

    Attributes:
        tiling: How pictures larger than a tile are divided; None converts them whole.
    """

    enable_slicing = NoOp("pictures are converted together; enable_tiling saves memory")
    disable_slicing = NoOp("slicing is never on")
    config: Any
    tiling: Tiling | None = None

    @abstractmethod
    def _encode(self, pixels: FloatArray) -> FloatArray: ...

    @abstractmethod
    def _decode(self, latents: FloatArray) -> FloatArray: ...

    @property
    def scale_factor(self) -> int:
        """Pixels to a latent cell along a side: every level except the last halves the side."""
        return int(2 ** (len(self.config.block_out_channels) - 1))

    def enable_tiling(self, tile_size: int = 512, overlap: int | None = None) -> None:
        """Convert pictures that are larger than a tile piece by piece, and blend the pieces.

        A picture of any size then needs the memory of one tile. The result differs from a
        conversion in one piece, because MoVQ's norms and attention see only a tile.

        Args:
            tile_size: Side of a tile in pixels.
            overlap: Pixels that neighbours share; over them one tile passes into the other. None
                takes a quarter of a tile.

        Raises:
            InvalidInputError: A size is no multiple of the pixels to a latent cell (8), a tile has
                fewer than four cells a side (32 pixels), or tiles would overlap by more than half.
        """
        factor = self.scale_factor
        cells = Tiling.check_size("tile_size", tile_size, factor)
        if overlap is None:
            overlap = cells // 4 * factor
        whole = isinstance(overlap, (int, np.integer)) and not isinstance(overlap, bool)
        if not whole or overlap % factor or not 0 <= overlap <= tile_size // 2:
            raise InvalidInputError(
                f"overlap={overlap!r}: give a multiple of {factor} pixels from 0 to half of "
                f"tile_size, {tile_size // 2}"
            )
        self.tiling = Tiling(cells, overlap // factor, factor)

    def disable_tiling(self) -> None:
        """Convert pictures whole from now on."""
        self.tiling = None

    def encode(self, pixels: FloatArray) -> FloatArray:
        """See `kandinsky_core.seam.networks.Autoencoder.encode`."""
        tiling = self.tiling
        if tiling is None or max(pixels.shape[2:]) <= tiling.size * tiling.factor:
            return self._encode(pixels)
        if any(side % tiling.factor for side in pixels.shape[2:]):
            raise InvalidInputError(
                f"pixels of {pixels.shape[2:]}: in tiles sides are multiples of {tiling.factor}"
            )
        return _in_tiles(self._encode, pixels, tiling, tiling.factor, 1)

    def decode(self, latents: FloatArray) -> FloatArray:
        """See `kandinsky_core.seam.networks.Autoencoder.decode`."""
        tiling = self.tiling
        if tiling is None or max(latents.shape[2:]) <= tiling.size:
            return self._decode(latents)
        return _in_tiles(self._decode, latents, tiling, 1, tiling.factor)


def _in_tiles(
    convert: Callable[[FloatArray], FloatArray],
    array: FloatArray,
    tiling: Tiling,
    given: int,
    made: int,
) -> FloatArray:
    """Convert [B,C,H,W] by tiles; a latent cell is `given` wide there, `made` in the result."""
    height, width = (side // given for side in array.shape[2:])
    total: Any = None
    weights = np.zeros((height * made, width * made), np.float32)
    for rows, columns in _tiles(tiling, height, width):
        top, left = (slice(side.start * given, side.stop * given) for side in (rows, columns))
        tile = convert(np.ascontiguousarray(array[..., top, left]))
        if total is None:
            total = np.zeros((*tile.shape[:2], *weights.shape), np.float32)
        ramps = (
            _ramp(made * (side.stop - side.start), made * tiling.overlap)
            for side in (rows, columns)
        )
        weight = np.outer(*ramps)
        top, left = (slice(side.start * made, side.stop * made) for side in (rows, columns))
        total[..., top, left] += tile * weight
        weights[top, left] += weight
    result: FloatArray = total / weights
    return result


def _tiles(tiling: Tiling, height: int, width: int) -> Iterator[tuple[slice, slice]]:
    for top in tiling.starts(height):
        for left in tiling.starts(width):
            yield (
                slice(top, top + min(tiling.size, height)),
                slice(left, left + min(tiling.size, width)),
            )


def _ramp(length: int, overlap: int) -> FloatArray:
    """Return the weights along one side of a tile: they fall off where neighbours meet."""
    inside = np.minimum(np.arange(length), np.arange(length)[::-1]) + 0.5
    return np.minimum(inside / max(overlap, 1), 1).astype(np.float32)
