"""Weights by their shapes alone, which is all that compiling needs."""

from __future__ import annotations

from typing import Any

import jax

__all__ = ["shapes_on"]


def shapes_on(weights: Any, device: jax.Device) -> Any:
    """Return weights without their values, as they would lie on a device.

    Args:
        weights: Arrays, on any device or on the host, or shapes.
        device: What a program is compiled for.
    """
    sharding = jax.sharding.SingleDeviceSharding(device)
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), weights
    )
