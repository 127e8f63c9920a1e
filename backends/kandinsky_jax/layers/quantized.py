"""Products and convolutions with weights in 8 bits, which are widened within the program.

The steps are multiplied with the result, not with the weights: a device reads one byte a weight,
and each result is rounded once more at most.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import EllipsisType
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
from jax import Array

from kandinsky_jax.layers.products import product, wide_product

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Quantized", "Weight", "convolve_with", "multiply", "rows_of"]

_SHARE = 128  # a power of two: weights divided by it are exact in every dtype


@jax.tree_util.register_dataclass
@dataclass(frozen=True, slots=True)
class Quantized:
    """A weight in 8 bits; it takes the place of an array in a network's parameter.

    Attributes:
        values: Whole numbers from -127 to 127, int8, in the shape of the weight.
        steps: What one of them stands for, float32: a number for each index of the last axis of a
            kernel, or of the first axis of a table.
    """

    values: Array
    steps: Array

    def __getitem__(self, whole: EllipsisType) -> Quantized:
        """Return the weight itself, as `array[...]` does."""
        return self


Weight = Array | Quantized
"""The value of a kernel or of a table."""


def multiply(x: Array, kernel: Weight) -> Array:
    """Multiply [...,n_in] by a kernel of [n_in,n_out], in the dtype of `x`."""
    if not isinstance(kernel, Quantized):
        return product(x, kernel.astype(x.dtype))
    wide = wide_product("...i,io->...o", x, kernel.values.astype(x.dtype))
    return (wide * kernel.steps).astype(x.dtype)


def convolve_with(kernel: Quantized, x: Array, convolve: Callable[[Array, Array], Array]) -> Array:
    """Convolve [B,H,W,n_in] with a kernel of [h,w,n_in,n_out], in the dtype of `x`.

    The weights go in as shares of the largest one, or float16 would overflow before the steps are
    multiplied.

    Args:
        kernel: The kernel.
        x: What is convolved.
        convolve: The convolution of an array with a kernel of its dtype.
    """
    dtype: np.dtype[np.generic] = x.dtype
    shares = kernel.values.astype(dtype) * jnp.asarray(1 / _SHARE, dtype)
    y = convolve(x, shares).astype(jnp.float32)
    return (y * (kernel.steps * _SHARE)).astype(dtype)


def rows_of(table: Weight, indices: Array) -> Array:
    """Return the rows of a table [count,width] at indices [...]: [...,width]."""
    if not isinstance(table, Quantized):
        return table[indices]
    return table.values[indices].astype(jnp.float32) * table.steps[indices][..., None]
