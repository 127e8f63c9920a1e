"""Convolutions of 3 x 3 with fewer products: F(2x2, 3x3) of Lavin and Gray, arXiv 1509.09308.

Four pixels of the output take 16 products for each pair of channels, in place of 36. The work is
sixteen matrix products, one for each place in a tile of 4 x 4; each multiplies sums and differences
of pixels with a part of the kernel. A picture that was doubled needs only nine, because its
neighbouring pixels are equal.

In float32 the result is as exact as that of the direct sum. In bfloat16 sums are rounded before
they are multiplied: the error is 2.6 times as large, and a whole UNet's 1.6 times. A kernel
is brought to this form once, 16 or 9 numbers for 9. To do it at every call would cost what is
gained, unless the picture is much larger than the kernel.

XLA on a CPU convolves at the rate of its matrix products at best, and from JAX 0.10 on at half of
it. There this form takes a third to four fifths of the time, and less in bfloat16. Accelerators
have libraries of their own that choose a form.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from kandinsky_jax.layers.products import wide_product

__all__ = [
    "DOUBLED_TILES",
    "SMALL_MAP",
    "TILES",
    "convolve_columns",
    "convolve_doubled",
    "convolve_doubled_in_bands",
    "convolve_tiles",
    "gains_by_bands",
    "kernel_to_tiles",
]

TILES = 16
DOUBLED_TILES = 9
"""Products for a picture whose every pixel was made four: the other sums of a tile are zero."""
SMALL_MAP = 64
"""Cells up to which `convolve_columns` is no slower than XLA's convolution on a CPU."""
BAND = 8
"""Rows of the given picture that `convolve_doubled_in_bands` takes at once."""
WIDE = 128
"""Channels from which bands pay; networks of fewer are small, and compile faster without bands."""
_SIDE = 4


def kernel_to_tiles(kernel: Array, *, doubled: bool = False) -> list[Array]:
    """Split [3,3,n_in,n_out] into sixteen of [n_in,n_out], nine for `convolve_doubled`."""
    sums = _doubled_kernel_sums if doubled else _kernel_sums
    rows = sums(kernel.astype(jnp.float32))
    return [column.astype(kernel.dtype) for row in rows for column in sums(row)]


def _kernel_sums(parts: Sequence[Array] | Array) -> list[Array]:
    first, second, third = parts
    return [first, (first + second + third) / 2, (first - second + third) / 2, third]


def _doubled_kernel_sums(parts: Sequence[Array] | Array) -> list[Array]:
    first, second, third = parts
    return [first, first + second + third, third]


def convolve_tiles(x: Array, tiles: Sequence[Array]) -> Array:
    """Convolve with one zero on each side: [B,H,W,n_in], tiles of a kernel -> [B,H,W,n_out]."""
    height, width = x.shape[1:3]
    down, across = -(-height // 2), -(-width // 2)  # tiles; the last ones may reach beyond
    padded = _padded(x, 1 + height % 2, 1 + width % 2)
    places = [
        place for row in _input_sums(padded, 1, down) for place in _input_sums(row, 2, across)
    ]
    return _convolved(places, tiles, _output_sums)[:, :height, :width]


def convolve_doubled(x: Array, tiles: Sequence[Array]) -> Array:
    """Convolve a picture as if each of its rows and columns stood there twice.

    Args:
        x: [B,H,W,n_in].
        tiles: Nine of [n_in,n_out].

    Returns:
        [B,2H,2W,n_out].
    """
    return _convolved_doubled(_padded(x, 1, 1), tiles)


def gains_by_bands(n_in: int, n_out: int, dtype: np.dtype[Any]) -> bool:
    """Whether a CPU gains by `convolve_doubled_in_bands`, at the same exactness."""
    return min(n_in, n_out) >= WIDE and dtype == jnp.float32


def convolve_doubled_in_bands(x: Array, kernel: Array) -> Array:
    """Do the same with an unchanged kernel, [3,3,n_in,n_out], for pictures much larger than it is.

    It takes one band of rows after the other, so that memory never holds all sums at once.
    """
    tiles = kernel_to_tiles(kernel, doubled=True)
    batch, height, width, _ = x.shape
    bands = -(-height // BAND)
    padded = _padded(x, 1 + bands * BAND - height, 1)

    def convolved(row: Array) -> Array:
        band = jax.lax.dynamic_slice_in_dim(padded, row, BAND + 2, axis=1)
        return _convolved_doubled(band, tiles)

    whole = jax.lax.map(convolved, jnp.arange(0, bands * BAND, BAND))  # [bands,B,2*BAND,2W,n_out]
    rows: Array = whole.swapaxes(0, 1).reshape(batch, -1, 2 * width, kernel.shape[-1])
    return rows[:, : 2 * height]


def _convolved_doubled(padded: Array, tiles: Sequence[Array]) -> Array:
    places = [place for row in _differences(padded, 1) for place in _differences(row, 2)]
    return _convolved(places, tiles, _doubled_output_sums)


def _padded(x: Array, below: int, right: int) -> Array:
    """Pad with zeros, in float32: sums are made in it, so that factors are rounded only once."""
    return jnp.pad(x.astype(jnp.float32), ((0, 0), (1, below), (1, right), (0, 0)))


def _convolved(
    places: Sequence[Array],
    tiles: Sequence[Array],
    sums: Callable[[Sequence[Array]], list[Array]],
) -> Array:
    """Multiply each place of the tiles, [B,down,across,n_in], and put the pixels together."""
    batch, down, across, _ = places[0].shape
    products = []
    for place, tile in zip(places, tiles, strict=True):
        flat = place.astype(tile.dtype).reshape(batch * down * across, -1)
        multiplied = wide_product("pi,io->po", flat, tile)
        products.append(multiplied.reshape(batch, down, across, -1))
    side = math.isqrt(len(tiles))
    columns = [sums(products[column::side]) for column in range(side)]
    rows = [jnp.stack(sums([column[half] for column in columns]), axis=3) for half in range(2)]
    whole = jnp.stack(rows, axis=2)  # [B,down,2,across,2,n_out]
    return whole.reshape(batch, 2 * down, 2 * across, -1).astype(tiles[0].dtype)


def convolve_columns(x: Array, kernel: Array) -> Array:
    """Convolve with one zero on each side, by one product of all neighbourhoods with the kernel.

    It is for few pixels: with JAX 0.10 XLA takes twice the time there, most of it for the kernel.
    """
    batch, height, width, channels = x.shape
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    places = [
        padded[:, row : row + height, column : column + width]
        for row in range(3)
        for column in range(3)
    ]
    columns = jnp.concatenate(places, axis=-1).reshape(-1, 9 * channels)
    flat = kernel.reshape(9 * channels, -1)
    multiplied = wide_product("pi,io->po", columns, flat)
    return multiplied.reshape(batch, height, width, -1).astype(x.dtype)


def _input_sums(x: Array, axis: int, count: int) -> list[Array]:
    """Return the four combinations of a tile's lines along an axis; tiles are two lines apart."""
    lines = [jax.lax.slice_in_dim(x, line, line + 2 * count - 1, 2, axis) for line in range(_SIDE)]
    return [lines[0] - lines[2], lines[1] + lines[2], lines[2] - lines[1], lines[1] - lines[3]]


def _differences(x: Array, axis: int) -> list[Array]:
    """Return each inner line's difference to the line before, itself, and to the line after."""
    count = x.shape[axis] - 2
    lines = [jax.lax.slice_in_dim(x, line, line + count, 1, axis) for line in range(3)]
    return [lines[0] - lines[1], lines[1], lines[1] - lines[2]]


def _doubled_output_sums(lines: Sequence[Array]) -> list[Array]:
    return [lines[0] + lines[1], lines[1] - lines[2]]


def _output_sums(lines: Sequence[Array]) -> list[Array]:
    return [lines[0] + lines[1] + lines[2], lines[1] - lines[2] - lines[3]]
