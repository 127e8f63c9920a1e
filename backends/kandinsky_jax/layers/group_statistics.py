"""Means over groups of channels, by which group norms centre and scale."""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

__all__ = ["group_normalised"]

_SUMMED = 16
"""Numbers of the first step of a sum on a CPU; XLA turns sums of more than 32 into slow loops."""


def group_normalised(x: Array, *, groups: int, epsilon: float) -> Array:
    """What a group norm does before it scales and shifts: [B,H,W,C] -> [B,H,W,C], float32."""
    means = functools.partial(_means, groups=groups)
    x = x.astype(jnp.float32)
    centred = x - means(x)
    return centred * jax.lax.rsqrt(means(jnp.square(centred)) + epsilon)


def _means(x: Array, groups: int) -> Array:
    """[B,H,W,C] -> [B,1,1,C], each channel with the mean of its group."""
    means: Array = jax.lax.platform_dependent(
        x,
        cpu=functools.partial(_means_in_steps, groups=groups),
        default=functools.partial(_means_at_once, groups=groups),
    )
    return means


def _means_at_once(x: Array, groups: int) -> Array:
    batch, height, width, channels = x.shape
    members = channels // groups
    means = x.reshape(batch, height, width, groups, members).mean(axis=(1, 2, 4))
    return jnp.repeat(means, members, axis=1)[:, None, None]


def _means_in_steps(x: Array, groups: int) -> Array:
    """In a form that XLA's CPU compiler makes something fast of.

    Left to itself it sums all at once, one number after the other, and looks up a channel's group
    for every pixel. Matrix products between the steps keep it from putting them together.
    """
    batch, height, width, channels = x.shape
    cells, members = height * width, channels // groups
    together = math.gcd(cells, _SUMMED)
    sums = x.reshape(batch, cells // together, together, channels).sum(axis=2)
    table = np.kron(np.eye(groups), np.ones((members, 1))).astype(np.float32)  # [C,G]
    product = functools.partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)
    of_groups = product(sums.reshape(-1, channels), table).reshape(batch, -1, groups)
    means = of_groups.sum(axis=1) / (cells * members)
    return product(means, table.T)[:, None, None]
