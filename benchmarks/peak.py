"""Measures how fast a machine multiplies matrices; other rates are given as shares of that.

    python -m benchmarks.peak --dtypes float32 bfloat16 int8 --side 2048
    python -m benchmarks.peak --rows 2 --transposed

The second command asks what it would cost to leave dense kernels in PyTorch's order.
"""

from __future__ import annotations

import argparse
import sys
from importlib.util import find_spec
from typing import Any

from benchmarks.timing import fastest

__all__ = ["matmul_rate"]


def matmul_rate(framework: str, dtype: str, side: int = 4096, repeats: int = 5) -> float:
    """Return floating-point operations a second of the fastest of several square products.

    Args:
        framework: `jax` or `torch`.
        dtype: The dtype of factors and result. `int8` is for JAX, and its result is int32.
        side: Rows and columns.
        repeats: Products that are timed, after a first one that is not.
    """
    multiply = _jax(dtype, side) if framework == "jax" else _torch(dtype, side)
    return float(2 * side**3 / fastest(multiply, repeats))


def _jax(dtype: str, side: int) -> Any:
    import jax
    import jax.numpy as jnp

    from kandinsky_jax.layers.products import product

    def of_bytes(a: Any) -> Any:
        return jax.lax.dot(a, a, preferred_element_type=jnp.int32)

    square = jax.jit(of_bytes if dtype == "int8" else lambda a: product(a, a))
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


def by_transposed(rows: int, side: int, repeats: int = 20) -> tuple[float, float]:
    """Return the seconds of [rows,side] by a square matrix in JAX, and by a transposed one."""
    import jax
    import jax.numpy as jnp

    from kandinsky_jax.layers.products import product

    x, matrix = jnp.ones((rows, side)), jnp.ones((side, side))
    plain, turned = jax.jit(product), jax.jit(lambda x, matrix: product(x, matrix.T))
    first, second = (
        fastest(lambda f=f: jax.block_until_ready(f(x, matrix)), repeats) for f in (plain, turned)
    )
    return first, second


def main() -> None:
    """Print the rates of the frameworks that are installed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--dtypes", nargs="+", default=["float32"])
    parser.add_argument("--side", type=int, default=2048, help="rows and columns (2048)")
    parser.add_argument("--rows", type=int, default=2, help="of what --transposed multiplies (2)")
    parser.add_argument(
        "--transposed",
        action="store_true",
        help="time float32 in JAX by a matrix, and by the transpose of what is stored",
    )
    options = parser.parse_args()
    if options.transposed:
        plain, turned = by_transposed(options.rows, options.side)
        sys.stdout.write(
            f"{1e3 * plain:.2f} ms, transposed {1e3 * turned:.2f}: {turned / plain:.1f}\n"
        )
        return
    for framework in filter(find_spec, ("jax", "torch")):
        for dtype in options.dtypes:
            if (framework, dtype) == ("torch", "int8"):  # it has no such product
                continue
            rate = matmul_rate(framework, dtype, options.side)
            sys.stdout.write(f"{framework:<8}{dtype:<10}{rate / 1e9:8.0f} billion a second\n")


if __name__ == "__main__":
    main()
