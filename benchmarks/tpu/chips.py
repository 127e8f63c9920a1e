"""What one chip of each kind of TPU has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["CHIPS", "arithmetic_floor"]

# By Google's pages and, for the last, the book of https://jax-ml.github.io/scaling-book.
CHIPS = {
    "v5e": (16, 819, 197, 1.5),
    "v5p": (95, 2765, 459, 1.75),
    "v6e": (32, 1640, 918, 1.75),
}
"""Gigabytes of memory, gigabytes a second, teraflops in bfloat16, and gigahertz."""
_PASSES = 6
"""Products of bfloat16 that a product of float32 takes."""


def arithmetic_floor(row: Mapping[str, Any]) -> float:
    """Return the milliseconds that a chip's peak rate needs for a program's operations at least.

    Args:
        row: What the compiler told of the program; it multiplies all in float32, or next to none.
    """
    _, _, peak, _ = CHIPS[row["chip"]]
    in_float32 = row["wide"] > 0.5 * row["products"]
    return float(row["flops"] * (_PASSES if in_float32 else 1) / peak / 1e9)
