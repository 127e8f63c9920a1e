"""Products and convolutions: float32 in full, half precision in the form a processor is fast at."""

from __future__ import annotations

import functools
import os
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from kandinsky_backend_kit.processor import processor_flags
from kandinsky_jax.layers.platforms import platform_dependent

__all__ = ["convolution", "matmul_precision", "multiplies_bfloat16", "product", "wide_product"]

# Flags of processors that multiply it four times, and twice, as fast as float32.
_MULTIPLYING_BFLOAT16 = {"amx_bf16", "avx512_bf16"}
_LIMITS_WITH_BFLOAT16 = {"AVX512_BF16", "AMX", "AMX_FP16"}  # that a user may set for XLA
# Within these, products take a CPU a third to six tenths of the time of XLA's convolution.
_FEW_CELLS, _MANY_CHANNELS = 1024, 128


def matmul_precision(dtype: np.dtype[Any]) -> jax.lax.Precision | None:
    """Ask for full products in float32: some accelerators would silently use fewer bits."""
    return jax.lax.Precision.HIGHEST if dtype == jnp.float32 else None


@functools.cache
def multiplies_bfloat16() -> bool:
    """Whether XLA multiplies bfloat16 faster than float32 on this CPU.

    It does if the processor has AMX or AVX512_BF16 and the result is float32, in which both sum.
    Some versions of JAX 0.8 have such products; older ones refuse a float32 result of some shapes.
    """
    limits = re.findall(r"xla_cpu_max_isa=(\w+)", os.environ.get("XLA_FLAGS", ""))
    allowed = not limits or limits[-1].upper() in _LIMITS_WITH_BFLOAT16
    able = not _MULTIPLYING_BFLOAT16.isdisjoint(processor_flags())
    return jax.__version_info__ >= (0, 9) and allowed and able


def product(x: Array, kernel: Array, equation: str = "...i,io->...o") -> Array:
    """Compute an einsum of two arrays in their dtype; [...,n_in] by [n_in,n_out] by default."""
    plain = functools.partial(jnp.einsum, equation, precision=matmul_precision(x.dtype))
    if x.dtype == jnp.float32:
        return plain(x, kernel)

    def on_a_cpu(x: Array, kernel: Array) -> Array:
        return _widened(equation, x, kernel).astype(x.dtype)

    result: Array = platform_dependent(x, kernel, cpu=on_a_cpu, default=plain)
    return result


def convolution(
    x: Array, kernel: Array, *, stride: int = 1, padding: int = 0, kernel_axes: str = "HWIO"
) -> Array:
    """Convolve in the dtype of the arrays: [B,H,W,n_in] -> [B,H',W',n_out].

    XLA computes float16 on a CPU number by number, a hundred times slower than float32, and rounds
    each sum. So the arrays are widened there, and the result is rounded once.
    """

    def plain(x: Array, kernel: Array) -> Array:
        return jax.lax.conv_general_dilated(
            x,
            kernel,
            window_strides=(stride, stride),
            padding=[(padding, padding)] * 2,
            dimension_numbers=("NHWC", kernel_axes, "NHWC"),
            precision=matmul_precision(x.dtype),
        )

    def widened(x: Array, kernel: Array) -> Array:
        return plain(x.astype(jnp.float32), kernel.astype(jnp.float32)).astype(jnp.float16)

    if x.dtype == jnp.float16:
        on_a_cpu = widened
    elif kernel_axes == "HWIO" and _better_by_products(x, kernel):
        on_a_cpu = functools.partial(_convolved_by_products, stride=stride, padding=padding)
    else:
        return plain(x, kernel)
    result: Array = platform_dependent(x, kernel, cpu=on_a_cpu, default=plain)
    return result


def _better_by_products(x: Array, kernel: Array) -> bool:
    """Whether a CPU does better by products, as it convolves bfloat16 in float32."""
    cells, channels = x.shape[1] * x.shape[2], min(kernel.shape[2:])
    suited = cells <= _FEW_CELLS and channels >= _MANY_CHANNELS
    return suited and x.dtype == jnp.bfloat16 and multiplies_bfloat16()


def _convolved_by_products(x: Array, kernel: Array, *, stride: int, padding: int) -> Array:
    """Convolve by a product for each place in the kernel; sums are float32."""
    rows, columns = kernel.shape[:2]
    x = jnp.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    # From a place's first cell to its last; there may be none.
    height, width = max(0, x.shape[1] - rows + 1), max(0, x.shape[2] - columns + 1)
    places = [
        wide_product(
            "bhwi,io->bhwo",
            x[:, row : row + height : stride, column : column + width : stride],
            kernel[row, column],
        )
        for row in range(rows)
        for column in range(columns)
    ]
    return functools.reduce(jnp.add, places).astype(x.dtype)


def wide_product(equation: str, a: Array, b: Array) -> Array:
    """Compute an einsum of two arrays of one dtype; sum and result are float32."""
    if a.dtype == jnp.float32:
        return _einsum(equation, a, b)
    widened = functools.partial(_widened, equation)
    default = functools.partial(_einsum, equation)
    result: Array = platform_dependent(a, b, cpu=widened, default=default)
    return result


def _widened(equation: str, a: Array, b: Array) -> Array:
    """Multiply half precision on a CPU, which mostly computes in float32 anyway."""
    if a.dtype == jnp.bfloat16 and multiplies_bfloat16():
        return _einsum(equation, a, b)
    return _einsum(equation, a.astype(jnp.float32), b.astype(jnp.float32))


def _einsum(equation: str, a: Array, b: Array) -> Array:
    return jnp.einsum(
        equation,
        a,
        b,
        precision=matmul_precision(a.dtype),
        preferred_element_type=jnp.float32,
    )
