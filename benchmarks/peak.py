"""Measures how fast a machine multiplies matrices; other rates are given as shares of that."""

from __future__ import annotations

from typing import Any

from benchmarks.timing import fastest

__all__ = ["matmul_rate"]


def matmul_rate(framework: str, dtype: str, side: int = 4096, repeats: int = 5) -> float:
    """Return floating-point operations a second of the fastest of several square products.

    Args:
        framework: `jax` or `torch`.
        dtype: The dtype of factors and result.
        side: Rows and columns.
        repeats: Products that are timed, after a first one that is not.
    """
    multiply = _jax(dtype, side) if framework == "jax" else _torch(dtype, side)
    return float(2 * side**3 / fastest(multiply, repeats))


def _jax(dtype: str, side: int) -> Any:
    import jax
    import jax.numpy as jnp

    from kandinsky_jax.layers.products import product

    square = jax.jit(lambda a: product(a, a))
    matrix = jnp.ones((side, side), dtype)
    return lambda: jax.block_until_ready(square(matrix))


def _torch(dtype: str, side: int) -> Any:
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    matrix = torch.ones((side, side), dtype=getattr(torch, dtype), device=device)

    def multiply() -> None:
        torch.matmul(matrix, matrix)
        if device == "cuda":
            torch.cuda.synchronize()

    return multiply
