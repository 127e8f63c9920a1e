"""Chooses the axis along which the mesh's `model` axis splits a weight.

The choice depends on the leaf's name and shape, which together tell the kind of layer. The compiler
puts in the communication that a split asks for.
"""

from __future__ import annotations

import math

from jax.sharding import PartitionSpec

__all__ = ["MODEL_AXIS", "weight_spec"]

MODEL_AXIS = "model"

# Weights of fewer numbers are whole on every device: together they take a thousandth of a network's
# memory, and to wait for a part from another device costs more than to hold it.
_SMALLEST = 2**12


def weight_spec(leaf: str, shape: tuple[int, ...], parts: int) -> PartitionSpec:
    """Return how one weight lies on the mesh: split along one axis, or whole on every device.

    Args:
        leaf: Last part of the weight's name in the network: `kernel`, `embedding`, `bias`, ...
        shape: Its shape in JAX's layout.
        parts: Size of the mesh's `model` axis.
    """
    if parts == 1 or len(shape) < 2 or math.prod(shape) < _SMALLEST:
        return PartitionSpec()
    for axis in _preferred(leaf, shape):
        if shape[axis] % parts == 0:
            return PartitionSpec(*[None] * axis, MODEL_AXIS)
    return PartitionSpec()


def _preferred(leaf: str, shape: tuple[int, ...]) -> list[int]:
    """Return axes in the order in which they are tried."""
    rank = len(shape)
    if leaf == "kernel":
        # [..., in, out]: the larger axis comes first. Where one layer widens and the next narrows,
        # as in feed-forward layers, this splits the outputs of the first and the inputs of the
        # second: nothing moves between them, one sum follows them (Megatron-LM, arXiv 1909.08053).
        # If both are equal, the outputs come first: no number is then a sum over several devices,
        # which would be rounded in another order.
        return sorted((rank - 2, rank - 1), key=lambda axis: (shape[axis], axis), reverse=True)
    if leaf == "embedding":
        return [rank - 1, 0]  # each device then has a part of every row, and looks it up itself
    return sorted(range(rank), key=lambda axis: (shape[axis], axis), reverse=True)
