"""Group norms: centres and scales groups of channels, by the form that a platform is fast at."""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from kandinsky_jax.layers.platforms import platform_dependent

__all__ = ["group_normalised"]

_SUMMED = 16
"""Numbers that a CPU sums in the first step; XLA turns sums of more than 32 into slow loops."""
_FULL = 4  # bytes of float32


def group_normalised(x: Array, *, groups: int, epsilon: float, scale: Array, shift: Array) -> Array:
    """Give each group of channels mean 0 and variance 1, then scale and shift channels.

    Args:
        x: [B,H,W,C].
        groups: How many groups of neighbouring channels there are; it divides C.
        epsilon: What is added to the variance.
        scale: Of a shape that broadcasts to [B,1,1,C].
        shift: The same.

    Returns:
        [B,H,W,C], float32.
    """
    plain = functools.partial(_normalised, groups=groups, epsilon=epsilon)
    folded = functools.partial(_folded, groups=groups, epsilon=epsilon)
    out: Array = platform_dependent(x, scale, shift, tpu=folded, default=plain)
    return out


def _normalised(x: Array, scale: Array, shift: Array, groups: int, epsilon: float) -> Array:
    means = functools.partial(_means, groups=groups)
    x = x.astype(jnp.float32)
    centred = x - means(x)
    return centred * jax.lax.rsqrt(means(jnp.square(centred)) + epsilon) * scale + shift


def _folded(x: Array, scale: Array, shift: Array, groups: int, epsilon: float) -> Array:
    """Do the same by one multiplication and one sum for each number, as a TPU likes it.

    Only sums of channels pass over x; the rest is computed for channels, which are few. In half
    precision one pass sums numbers and squares. The variance as their difference is then less exact
    than that of centred numbers, but numbers of 11 bits and fewer are coarser than it by far.
    """
    batch, height, width, channels = x.shape
    members = channels // groups

    def means(values: Array) -> Array:  # [B,H,W,C] -> [B,G]
        of_channels = values.sum(axis=(1, 2)) / (height * width * members)
        return of_channels.reshape(batch, groups, members).sum(axis=2)

    def of_channels(values: Array) -> Array:  # [B,G] -> [B,1,1,C]
        return jnp.repeat(values, members, axis=1)[:, None, None]

    half = x.dtype.itemsize < _FULL
    x = x.astype(jnp.float32)
    mean = means(x)
    if half:
        variance = jnp.maximum(means(jnp.square(x)) - jnp.square(mean), 0)
    else:
        variance = means(jnp.square(x - of_channels(mean)))
    inverse = jax.lax.rsqrt(variance + epsilon)
    return x * (of_channels(inverse) * scale) + (shift - of_channels(mean * inverse) * scale)


def _means(x: Array, groups: int) -> Array:
    """Return the mean of each channel's group: [B,H,W,C] -> [B,1,1,C]."""
    means: Array = platform_dependent(
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
