"""Centres and scales groups of channels, the part of a group norm that needs statistics."""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

__all__ = ["group_normalised"]

_SUMMED = 16
"""Numbers that a CPU sums in the first step; XLA turns sums of more than 32 into slow loops."""


def group_normalised(x: Array, *, groups: int, epsilon: float) -> Array:
    """Give each group of channels mean 0 and variance 1: [B,H,W,C] -> [B,H,W,C], float32."""
    means = functools.partial(_means, groups=groups)
    x = x.astype(jnp.float32)
    centred = x - means(x)
    return centred * jax.lax.rsqrt(means(jnp.square(centred)) + epsilon)


def _means(x: Array, groups: int) -> Array:
    """Return the mean of each channel's group: [B,H,W,C] -> [B,1,1,C]."""
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
    """Compute the same means in a form that XLA compiles into fast code for a CPU.

    From the plain form XLA makes one loop that sums one number after the other and looks up a
    channel's group for every pixel. Matrix products between the steps keep the steps apart.
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
