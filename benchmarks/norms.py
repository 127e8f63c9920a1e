"""Compares group norms that sum at once and in steps, on the maps of the full-size 2.2 UNet.

    python -m benchmarks.norms

A call normalises and applies SiLU, with the guidance batch of two, in float32. The fastest of some
calls counts. On a CPU the library sums in steps.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.timing import fastest
from kandinsky_jax.layers import group_statistics
from kandinsky_jax.layers.layers import silu

MAPS = ((64, 384), (64, 1152), (32, 768), (32, 1536), (16, 1152), (8, 1536))
GROUPS, EPSILON = 32, 1e-5
REPEATS = 15


def measure(means: Callable[..., jax.Array], x: jax.Array) -> float:
    """Return the seconds of a norm that computes its means by this function."""

    def run(x: jax.Array) -> jax.Array:
        one, zero = jnp.ones(x.shape[-1]), jnp.zeros(x.shape[-1])
        return silu(
            group_statistics.group_normalised(
                x, groups=GROUPS, epsilon=EPSILON, scale=one, shift=zero
            )
        )

    with mock.patch.object(group_statistics, "_means", means):
        compiled = jax.jit(run).lower(x).compile()
    return fastest(lambda: jax.block_until_ready(compiled(x)), REPEATS)


def main() -> None:
    """Print a table."""
    sys.stdout.write(f"JAX {jax.__version__}\n cells  channels  at once, ms  in steps, ms\n")
    for side, channels in MAPS:
        draw = np.random.default_rng(0).standard_normal
        x = jnp.asarray(draw((2, side, side, channels), np.float32))
        at_once = measure(group_statistics._means_at_once, x)
        in_steps = measure(group_statistics._means_in_steps, x)
        sys.stdout.write(f"{side:>6}{channels:>10}{1e3 * at_once:>13.2f}{1e3 * in_steps:>14.2f}\n")


if __name__ == "__main__":
    main()
