"""Reads weights in 8 bits from a checkpoint, and reads them back as floating numbers.

Among a network's weights the steps of `NAME` are `NAME_steps`, so that all that moves weights moves
them too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from kandinsky_backend_kit.quantized_rows import dequantized_rows, quantized_rows
from kandinsky_converters.layouts.ahead import ahead
from kandinsky_converters.layouts.leaf_rules import LeafRule
from kandinsky_converters.layouts.numbers import all_finite, refuse_non_finite
from kandinsky_core.arrays import FloatArray
from kandinsky_core.seam.tensors import Tensors
from kandinsky_jax.placement.places import Place, Weights, leaf_of
from kandinsky_jax.runtime import own_settings

__all__ = ["STEPS", "dequantized", "read_quantized", "steps_of"]

STEPS = "_steps"
"""The end of the names of steps."""


def steps_of(name: str) -> str:
    """Return the name of a weight's steps."""
    return name + STEPS


def read_quantized(
    what: str,
    found: Mapping[str, tuple[str, LeafRule]],
    tensors: Tensors,
    place: Place,
    threads: int | None,
) -> Weights:
    """Read weights in 8 bits.

    Each is rounded from the file's own precision, whatever the network computes in. The host holds
    its 8 bits and, for each thread, a million numbers in float32.

    Args:
        what: Name of the network, for the message.
        found: The name of each weight in a file for JAX, and its rule, by its name in `tensors`.
        tensors: The checkpoint, in PyTorch's names and layout.
        place: Where the weights shall lie.
        threads: How many threads read and round; see `ahead`.

    Raises:
        CheckpointError: A value is NaN or infinite.
    """

    def read(name: str) -> tuple[jax.Array, jax.Array, bool]:
        native, rule = found[name]
        rows, steps = quantized_rows(tensors.read(name))
        with own_settings():  # JAX keeps such settings by thread
            # JAX copies the transposed rows of a kernel into its own order.
            placed = place.put_weight(leaf_of(native), rule.to_backend(rows))
            beside = place.put_weight(leaf_of(steps_of(native)), steps)
        return placed, beside, all_finite(steps)

    def size(name: str) -> int:
        return math.prod(tensors.spec(name)[0])

    weights: Weights = {}
    with refuse_non_finite(what, "float32") as note:
        for name, (placed, beside, finite) in ahead(found, size, read, threads=threads):
            note(name, finite)
            native = found[name][0]
            weights[native], weights[steps_of(native)] = placed, beside
    return weights


def dequantized(
    weights: Weights, native: str, rule: LeafRule, get: Callable[[Any], Any]
) -> FloatArray:
    """Return what a weight in 8 bits stands for, in PyTorch's layout.

    Args:
        weights: The network's weights.
        native: The weight's name among them.
        rule: Its rule.
        get: A function that copies an array to the host.
    """
    rows = rule.to_torch(np.asarray(get(weights[native])))
    return dequantized_rows(rows, np.asarray(get(weights[steps_of(native)])))
