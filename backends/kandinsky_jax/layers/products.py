"""Matrix products: float32 in full, and half precision in the form that a processor is fast at."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from kandinsky_backend_kit.processor import processor_flags
from kandinsky_jax.layers.platforms import platform_dependent

__all__ = ["matmul_precision", "multiplies_bfloat16", "product", "wide_product"]


def matmul_precision(dtype: np.dtype[Any]) -> jax.lax.Precision | None:
    """Ask for full products in float32: some accelerators would silently use fewer bits."""
    return jax.lax.Precision.HIGHEST if dtype == jnp.float32 else None


@functools.cache
def multiplies_bfloat16() -> bool:
    """Whether XLA multiplies bfloat16 faster than float32 on this CPU.

    They use AMX, four times as fast, if the result is float32, the dtype in which AMX sums. Some
    versions of JAX 0.8 have such products; older ones refuse a float32 result of some shapes.
    """
    return jax.__version_info__ >= (0, 9) and "amx_bf16" in processor_flags()


def product(x: Array, kernel: Array, equation: str = "...i,io->...o") -> Array:
    """Compute an einsum of two arrays in their dtype; [...,n_in] by [n_in,n_out] by default."""
    plain = functools.partial(jnp.einsum, equation, precision=matmul_precision(x.dtype))
    if x.dtype == jnp.float32:
        return plain(x, kernel)

    def on_a_cpu(x: Array, kernel: Array) -> Array:
        return _widened(equation, x, kernel).astype(x.dtype)

    result: Array = platform_dependent(x, kernel, cpu=on_a_cpu, default=plain)
    return result


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
