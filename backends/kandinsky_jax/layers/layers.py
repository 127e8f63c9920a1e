"""The building blocks that all networks share, channels-last.

The layers are small and our own, because three things must be exact in every version of Flax:
parameter names equal the checkpoint's, float32 means full float32 products, and norms use float32
statistics and the two-pass variance (the one-pass form loses digits when the mean is large).
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array
from jax.typing import DTypeLike

from kandinsky_jax.layers.attention import AttentionFunction
from kandinsky_jax.layers.group_statistics import group_normalised
from kandinsky_jax.layers.platforms import platform_dependent
from kandinsky_jax.layers.products import convolution, product
from kandinsky_jax.layers.quantized import (
    Quantized,
    Weight,
    convolve_with,
    multiply,
    rows_of,
)
from kandinsky_jax.layers.winograd import (
    DOUBLED_TILES,
    SMALL_MAP,
    TILES,
    convolve_columns,
    convolve_doubled,
    convolve_doubled_in_bands,
    convolve_tiles,
    gains_by_bands,
)

__all__ = [
    "Conv",
    "Embedding",
    "GroupNorm",
    "Identity",
    "LayerNorm",
    "Layers",
    "Linear",
    "TimestepEmbedding",
    "average_pool_2x2",
    "gelu",
    "gelu_tanh",
    "quick_gelu",
    "silu",
    "timestep_angles",
    "timestep_sinusoid",
    "timestep_sinusoid_of_sines",
    "upsample_nearest",
]


class Layers:
    """The choices that all layers of one network share.

    Parameters start at zero and are filled from a checkpoint. This is a library for inference:
    drawing a billion random numbers to throw them away is slow, even in the abstract.
    """

    def __init__(
        self,
        *,
        dtype: DTypeLike,
        param_dtype: DTypeLike,
        attend: AttentionFunction,
        tiled: bool = False,
        columns: bool = False,
        bands: bool = False,
    ) -> None:
        self.dtype = jnp.dtype(dtype)
        self.param_dtype = jnp.dtype(param_dtype)
        self.attend = attend
        # Which convolutions of 3 x 3 use `winograd`: all of them, or the ones of few pixels.
        self.tiled = tiled
        self.columns = columns
        # Whether a CPU convolves doubled pictures of many channels in fewer products.
        self.bands = bands

    def untiled(self) -> Layers:
        """Return the same choices for a level of few pixels, where kernels keep their form."""
        return Layers(
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            attend=self.attend,
            columns=self.tiled,
        )

    def parameter(self, *shape: int) -> nnx.Param[Array]:
        """Return a learned array of this shape, for now of zeros."""
        return nnx.Param(jnp.zeros(shape, self.param_dtype))


class Linear(nnx.Module):
    """A matrix product with a bias or none: [..., n_in] -> [..., n_out]."""

    def __init__(self, n_in: int, n_out: int, *, bias: bool = True, layers: Layers) -> None:
        self.kernel = layers.parameter(n_in, n_out)
        self.bias = layers.parameter(n_out) if bias else None
        self.dtype = layers.dtype

    def __call__(self, x: Array) -> Array:
        y = multiply(x.astype(self.dtype), self.kernel[...])
        return y if self.bias is None else y + self.bias[...].astype(self.dtype)


class Conv(nnx.Module):
    """A convolution: [B,H,W,n_in] -> [B,H',W',n_out], square kernel, `padding` zeros on each side.

    With `doubled` it first enlarges the picture as `upsample_nearest` does.
    """

    def __init__(
        self,
        n_in: int,
        n_out: int,
        *,
        kernel: int,
        stride: int = 1,
        padding: int = 0,
        bias: bool = True,
        doubled: bool = False,
        layers: Layers,
    ) -> None:
        common = (kernel, stride, padding) == (3, 1, 1)
        self.columns = layers.columns and common
        if layers.tiled and common:
            # If the tiles were one array, XLA would copy each part that a product takes.
            count = DOUBLED_TILES if doubled else TILES
            self.tiles = nnx.List([layers.parameter(n_in, n_out) for _ in range(count)])
        else:
            self.kernel = layers.parameter(kernel, kernel, n_in, n_out)
        self.bias = layers.parameter(n_out) if bias else None
        self.stride = stride
        self.padding = padding
        self.doubled = doubled
        self.bands = layers.bands and doubled and gains_by_bands(n_in, n_out, layers.dtype)
        self.dtype = layers.dtype

    def __call__(self, x: Array) -> Array:
        y = self._convolve(x.astype(self.dtype))
        return y if self.bias is None else y + self.bias[...].astype(self.dtype)

    def _convolve(self, x: Array) -> Array:
        if hasattr(self, "tiles"):
            convolve = convolve_doubled if self.doubled else convolve_tiles
            return convolve(x, [part[...].astype(self.dtype) for part in self.tiles])
        kernel: Weight = self.kernel[...]
        if isinstance(kernel, Quantized):
            return convolve_with(kernel, x, self._convolve_plainly)
        kernel = kernel.astype(self.dtype)
        if self.bands:
            y: Array = platform_dependent(
                x, kernel, cpu=convolve_doubled_in_bands, default=self._convolve_plainly
            )
            return y
        return self._convolve_plainly(x, kernel)

    def _convolve_plainly(self, x: Array, kernel: Array) -> Array:
        x = upsample_nearest(x) if self.doubled else x
        if kernel.shape[:2] == (1, 1) and (self.stride, self.padding) == (1, 0):
            return product(x, kernel[0, 0])
        if self.columns and x.shape[1] * x.shape[2] <= SMALL_MAP:
            return convolve_columns(x, kernel)
        return convolution(x, kernel, stride=self.stride, padding=self.padding)


class LayerNorm(nnx.Module):
    """Normalises the last axis."""

    def __init__(self, width: int, *, epsilon: float = 1e-5, layers: Layers) -> None:
        self.scale = layers.parameter(width)
        self.bias = layers.parameter(width)
        self.epsilon = epsilon
        self.dtype = layers.dtype

    def __call__(self, x: Array) -> Array:
        normal = _normalised(x.astype(jnp.float32), axes=(-1,), epsilon=self.epsilon)
        return (normal * self.scale[...] + self.bias[...]).astype(self.dtype)


class GroupNorm(nnx.Module):
    """Normalises groups of neighbouring channels over all positions: [B,H,W,C] -> [B,H,W,C]."""

    def __init__(self, channels: int, *, groups: int, epsilon: float, layers: Layers) -> None:
        self.scale = layers.parameter(channels)
        self.bias = layers.parameter(channels)
        self.groups = groups
        self.epsilon = epsilon
        self.dtype = layers.dtype

    def __call__(self, x: Array, scale: Array | None = None, shift: Array | None = None) -> Array:
        """Normalise x; then multiply by `1 + scale` and add `shift`, each [B,1,1,C] or None."""
        own, offset = self.scale[...].astype(jnp.float32), self.bias[...].astype(jnp.float32)
        if scale is not None:
            factor = 1 + scale.astype(jnp.float32)
            own, offset = own * factor, offset * factor
        if shift is not None:
            offset = offset + shift.astype(jnp.float32)
        normal = group_normalised(
            x, groups=self.groups, epsilon=self.epsilon, scale=own, shift=offset
        )
        return normal.astype(self.dtype)


def _normalised(x: Array, *, axes: tuple[int, ...], epsilon: float) -> Array:
    centred = x - x.mean(axis=axes, keepdims=True)
    variance = jnp.square(centred).mean(axis=axes, keepdims=True)
    return centred * jax.lax.rsqrt(variance + epsilon)


class Embedding(nnx.Module):
    """A table of `count` rows: integers [...] -> [..., width]."""

    def __init__(self, count: int, width: int, *, layers: Layers) -> None:
        self.embedding = layers.parameter(count, width)
        self.dtype = layers.dtype

    def __call__(self, indices: Array) -> Array:
        return rows_of(self.embedding[...], indices).astype(self.dtype)


class Identity(nnx.Module):
    """Returns its input; keeps the place that the checkpoint's numbering counts in a list."""

    def __call__(self, x: Array) -> Array:
        return x


class TimestepEmbedding(nnx.Module):
    """Two linear layers on the timestep's sinusoid: [B,n_in] -> [B,n_out]."""

    def __init__(self, n_in: int, n_out: int, *, layers: Layers) -> None:
        self.linear_1 = Linear(n_in, n_out, layers=layers)
        self.linear_2 = Linear(n_out, n_out, layers=layers)

    def __call__(self, sinusoid: Array) -> Array:
        return self.linear_2(silu(self.linear_1(sinusoid)))


def timestep_sinusoid(timestep: Array, width: int) -> Array:
    """Return cosines, then sines, of the timestep at `width / 2` frequencies from 1 to 1/10000.

    Args:
        timestep: [B], integers or floats, on the scale of the training steps (0 to 999).
        width: even.

    Returns:
        [B,width], always float32: near t = 1000 an error of one bit in a float16 angle would be
        half a radian.
    """
    half = width // 2
    angle = timestep_angles(timestep, half, half)
    return jnp.concatenate([jnp.cos(angle), jnp.sin(angle)], axis=-1)


def timestep_sinusoid_of_sines(timestep: Array, width: int) -> Array:
    """Return sines, then cosines, the slowest at exactly 1/10000: [B] -> [B,width], float32."""
    half = width // 2
    angle = timestep_angles(timestep, half, half - 1)
    return jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], axis=-1)


def timestep_angles(timestep: Array, count: int, intervals: int) -> Array:
    """Return [B] times `count` frequencies, from 1 to 1/10000 in so many intervals: [B,count]."""
    exponent = np.float32(-np.log(10000.0)) * np.arange(count, dtype=np.float32)
    exponent /= np.float32(intervals)
    # It is rounded once from float64: an error of one unit here is a thousand in the angle.
    frequency = np.exp(exponent.astype(np.float64)).astype(np.float32)
    return timestep.astype(jnp.float32)[:, None] * frequency


# Activations are computed in float32 and rounded once; compiled, that costs no memory traffic.


def silu(x: Array) -> Array:
    """Return x sigmoid(x)."""
    return jax.nn.silu(x.astype(jnp.float32)).astype(x.dtype)


def gelu(x: Array) -> Array:
    """Return x Phi(x), by the error function and not its tanh approximation."""
    return jax.nn.gelu(x.astype(jnp.float32), approximate=False).astype(x.dtype)


def gelu_tanh(x: Array) -> Array:
    """Return x Phi(x) by its tanh approximation, as T5 has it."""
    return jax.nn.gelu(x.astype(jnp.float32), approximate=True).astype(x.dtype)


def quick_gelu(x: Array) -> Array:
    """Return x sigmoid(1.702 x), as OpenAI's CLIP has it."""
    wide = x.astype(jnp.float32)
    return (wide * jax.nn.sigmoid(1.702 * wide)).astype(x.dtype)


def average_pool_2x2(x: Array) -> Array:
    """Halve both sides: [B,H,W,C] -> [B,H/2,W/2,C], the means of 2 x 2 cells; H and W even."""
    batch, height, width, channels = x.shape
    cells = x.reshape(batch, height // 2, 2, width // 2, 2, channels)
    return cells.astype(jnp.float32).mean(axis=(2, 4)).astype(x.dtype)


def upsample_nearest(x: Array, factor: int = 2) -> Array:
    """Repeat each value along both sides: [B,H,W,C] -> [B,factor*H,factor*W,C]."""
    batch, height, width, channels = x.shape
    cells = jnp.broadcast_to(
        x[:, :, None, :, None, :], (batch, height, factor, width, factor, channels)
    )
    return cells.reshape(batch, factor * height, factor * width, channels)
