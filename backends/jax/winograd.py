"""Convolutions of 3 x 3 with fewer products: F(2x2, 3x3) of Lavin and Gray, arXiv 1509.09308.

Four pixels of the output take 16 products for each pair of channels, in place of 36. They are
sixteen matrix products, one for each place in a tile of 4 x 4, between sums and differences of
pixels on either side. In float32 the result is as exact as that of the direct sum. Kernels have to
be brought to that form, of 16 numbers for 9, once; on the fly it would cost what is gained.

XLA on a CPU convolves at the rate of its matrix products at best, and from JAX 0.10 on at half of
it; there this takes a third to four fifths of the time. On accelerators their own libraries choose.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import Array

from backends.jax.attention import matmul_precision

__all__ = ["SMALL_MAP", "TILES", "convolve_columns", "convolve_tiles", "kernel_to_tiles"]

TILES = 16
SMALL_MAP = 64
"""Cells up to which `convolve_columns` is no slower than XLA's convolution on a CPU."""
_SIDE = 4


def kernel_to_tiles(kernel: Array) -> list[Array]:
    """[3,3,n_in,n_out] -> sixteen of [n_in,n_out]."""
    return [column for row in _kernel_sums(kernel) for column in _kernel_sums(row)]


def _kernel_sums(parts: Sequence[Array] | Array) -> list[Array]:
    first, second, third = parts
    return [first, (first + second + third) / 2, (first - second + third) / 2, third]


def convolve_tiles(x: Array, tiles: Sequence[Array]) -> Array:
    """Convolve with one zero on each side: [B,H,W,n_in], tiles of a kernel -> [B,H,W,n_out]."""
    batch, height, width, _ = x.shape
    down, across = -(-height // 2), -(-width // 2)  # tiles, the last of which may reach beyond
    padded = jnp.pad(x, ((0, 0), (1, 1 + height % 2), (1, 1 + width % 2), (0, 0)))
    precision = matmul_precision(x.dtype)
    products: list[Array] = []
    for row in _input_sums(padded, 1, down):
        for place in _input_sums(row, 2, across):
            flat = place.reshape(batch * down * across, -1)
            product = jnp.matmul(flat, tiles[len(products)], precision=precision)
            products.append(product.reshape(batch, down, across, -1))
    columns = [_output_sums(products[column::_SIDE]) for column in range(_SIDE)]
    rows = [
        jnp.stack(_output_sums([column[half] for column in columns]), axis=3) for half in range(2)
    ]
    whole = jnp.stack(rows, axis=2)  # [B,down,2,across,2,n_out]
    return whole.reshape(batch, 2 * down, 2 * across, -1)[:, :height, :width]


def convolve_columns(x: Array, kernel: Array) -> Array:
    """Convolve likewise by one matrix product of each pixel's neighbourhood with the kernel.

    For few pixels: with JAX 0.10 XLA takes twice the time, of which most goes into the kernel.
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
    product = jnp.matmul(columns, flat, precision=matmul_precision(x.dtype))
    return product.reshape(batch, height, width, -1)


def _input_sums(x: Array, axis: int, count: int) -> list[Array]:
    """The four combinations of a tile's lines along an axis, of `count` tiles two lines apart."""
    lines = [jax.lax.slice_in_dim(x, line, line + 2 * count - 1, 2, axis) for line in range(_SIDE)]
    return [lines[0] - lines[2], lines[1] + lines[2], lines[2] - lines[1], lines[1] - lines[3]]


def _output_sums(lines: Sequence[Array]) -> list[Array]:
    return [lines[0] + lines[1] + lines[2], lines[1] - lines[2] - lines[3]]
