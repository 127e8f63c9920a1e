"""What one chip of each kind of TPU has."""

from __future__ import annotations

__all__ = ["CHIPS"]

# By Google's pages and, for the last, the book of https://jax-ml.github.io/scaling-book.
CHIPS = {
    "v5e": (16, 819, 197, 1.5),
    "v5p": (95, 2765, 459, 1.75),
    "v6e": (32, 1640, 918, 1.75),
}
"""Gigabytes of memory, gigabytes a second, teraflops in bfloat16, and gigahertz."""
