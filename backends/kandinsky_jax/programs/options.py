"""Chooses what XLA is told when it compiles a program."""

from __future__ import annotations

import functools
from typing import Any

import jax
import numpy as np

__all__ = ["options_for"]

# This scheduler of XLA for CPUs starts all that waits for nothing, so it widens all weights in 8
# bits before the first product. The other one widens each where it is used.
_ONE_AFTER_THE_OTHER: dict[str, str | bool] = {
    "xla_cpu_enable_concurrency_optimized_scheduler": False
}


def options_for(devices: tuple[jax.Device, ...], weights: Any) -> dict[str, str | bool] | None:
    """Return the compiler's options for a program, or None where it needs none.

    Args:
        devices: Where it runs.
        weights: Its weights, or their shapes.
    """
    if devices[0].platform != "cpu":
        return None
    if all(leaf.dtype != np.int8 for leaf in jax.tree.leaves(weights)):
        return None
    return _ONE_AFTER_THE_OTHER if _known() else None


@functools.cache
def _known() -> bool:
    """Whether this XLA has the option; one that it does not know is an error."""
    lowered = jax.jit(lambda: np.int32(0)).lower()
    try:
        lowered.compile(compiler_options=_ONE_AFTER_THE_OTHER)
    except (RuntimeError, ValueError):
        return False
    return True
