"""Compares attention with all heads at once and head by head, in the full-size 2.2 networks.

    python -m benchmarks.attention --dtypes float32 bfloat16

It times the UNet's attentions, with the guidance batch of two, and the one of MoVQ's decoder. The
fastest of some calls counts. Each call asks the system anew for the memory of its scores; a whole
step asks only once, so it gains less.
"""

from __future__ import annotations

import argparse
import sys
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.timing import fastest
from benchmarks.turns import add_dtypes
from kandinsky_jax.layers import attention

# Batch, queries, heads, width of a head. There are as many keys, and in the UNet ten more.
CASES = {
    "UNet, 512 px, 32 x 32 cells": (2, 1024, 12, 64),
    "UNet, 512 px, 16 x 16 cells": (2, 256, 18, 64),
    "UNet, 768 px, 48 x 48 cells": (2, 2304, 12, 64),
    "UNet, 768 px, 24 x 24 cells": (2, 576, 18, 64),
    "MoVQ, 512 px": (1, 4096, 1, 512),
}
IMAGE_TOKENS = 10
REPEATS = 5


def measure(batch: int, queries: int, heads: int, width: int, dtype: str) -> tuple[float, float]:
    """Return the seconds with all heads at once, and head by head."""
    draw = np.random.default_rng(0).standard_normal
    keys = queries + (IMAGE_TOKENS if heads > 1 else 0)
    query, key, value = (
        jnp.asarray(draw((batch, tokens, heads, width), np.float32), dtype)
        for tokens in (queries, keys, keys)
    )

    def seconds(head_scores: int) -> float:
        with mock.patch.object(attention, "HEAD_SCORES", head_scores):
            run = jax.jit(lambda *inputs: attention.attend(*inputs)).lower(query, key, value)
        compiled = run.compile()
        return fastest(lambda: jax.block_until_ready(compiled(query, key, value)), REPEATS)

    return seconds(sys.maxsize), seconds(0)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    add_dtypes(parser)
    options = parser.parse_args()
    sys.stdout.write(f"JAX {jax.__version__}\n{'':40}at once, ms  by heads, ms\n")
    for dtype in options.dtypes:
        for name, shape in CASES.items():
            at_once, by_heads = measure(*shape, dtype)
            words = f"{name}, {dtype}"
            sys.stdout.write(f"{words:40}{1e3 * at_once:>11.1f}{1e3 * by_heads:>14.1f}\n")


if __name__ == "__main__":
    main()
