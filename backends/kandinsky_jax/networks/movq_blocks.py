"""Blocks of MoVQ's encoder and decoder.

The two halves differ in their norms only. The encoder has plain group norms; the decoder has group
norms that the latents modulate at every position. A `MakeNorm` decides which norm a block has.
Blocks pass `*latents` on to their norms, and the encoder passes none.
"""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
from flax import nnx
from jax import Array

from kandinsky_jax.layers.attention import split_heads
from kandinsky_jax.layers.layers import Conv, GroupNorm, Layers, Linear, silu, upsample_nearest

__all__ = [
    "DecoderAttention",
    "Downsampler",
    "EncoderAttention",
    "MiddleBlock",
    "ResnetBlock",
    "SpatialNorm",
    "Upsampler",
]

NORM_EPSILON = 1e-6
SPATIAL_NORM_GROUPS = 32  # whatever the config's norm_num_groups says

Norm = Callable[..., Array]  # (x, *latents) -> x
MakeNorm = Callable[[int], Norm]  # channels -> norm


class SpatialNorm(nnx.Module):
    """A group norm whose scale and shift are linear in the latents (arXiv 2209.09002)."""

    def __init__(self, channels: int, latent_channels: int, *, layers: Layers) -> None:
        self.norm_layer = GroupNorm(
            channels, groups=SPATIAL_NORM_GROUPS, epsilon=NORM_EPSILON, layers=layers
        )
        self.conv_y = Conv(latent_channels, channels, kernel=1, layers=layers)
        self.conv_b = Conv(latent_channels, channels, kernel=1, layers=layers)

    def __call__(self, x: Array, latents: Array) -> Array:
        """Normalise x [B,H,W,C] by latents [B,h,w,c], H a multiple of h: [B,H,W,C]."""
        # Latents are projected before they are enlarged: the same numbers for a fraction of the
        # work.
        factor = x.shape[1] // latents.shape[1]
        scale = upsample_nearest(self.conv_y(latents), factor)
        shift = upsample_nearest(self.conv_b(latents), factor)
        return self.norm_layer(x) * scale + shift


class ResnetBlock(nnx.Module):
    """Two convolutions with a shortcut: [B,H,W,n_in] -> [B,H,W,n_out]."""

    def __init__(self, n_in: int, n_out: int, make_norm: MakeNorm, *, layers: Layers) -> None:
        self.norm1 = make_norm(n_in)
        self.conv1 = Conv(n_in, n_out, kernel=3, padding=1, layers=layers)
        self.norm2 = make_norm(n_out)
        self.conv2 = Conv(n_out, n_out, kernel=3, padding=1, layers=layers)
        self.conv_shortcut = Conv(n_in, n_out, kernel=1, layers=layers) if n_in != n_out else None

    def __call__(self, x: Array, *latents: Array) -> Array:
        h = self.conv1(silu(self.norm1(x, *latents)))
        h = self.conv2(silu(self.norm2(h, *latents)))
        return h + (x if self.conv_shortcut is None else self.conv_shortcut(x))


class _Attention(nnx.Module):
    """Single-head self-attention over all positions, with residual."""

    def __init__(self, channels: int, *, layers: Layers) -> None:
        self.to_q = Linear(channels, channels, layers=layers)
        self.to_k = Linear(channels, channels, layers=layers)
        self.to_v = Linear(channels, channels, layers=layers)
        self.to_out = nnx.List([Linear(channels, channels, layers=layers)])
        self.attend = layers.attend

    def _attended(self, x: Array, normalised: Array) -> Array:
        batch, height, width, channels = x.shape
        flat = normalised.reshape(batch, height * width, channels)
        query, key, value = (
            split_heads(project(flat), 1) for project in (self.to_q, self.to_k, self.to_v)
        )
        out = self.to_out[0](self.attend(query, key, value)[:, :, 0])
        return out.reshape(x.shape) + x


class EncoderAttention(_Attention):
    """The encoder's attention, after a plain norm: [B,H,W,C] -> [B,H,W,C]."""

    def __init__(self, channels: int, make_norm: MakeNorm, *, layers: Layers) -> None:
        super().__init__(channels, layers=layers)
        self.group_norm = make_norm(channels)

    def __call__(self, x: Array) -> Array:
        return self._attended(x, self.group_norm(x))


class DecoderAttention(_Attention):
    """The decoder's attention, after a norm by the latents: [B,H,W,C] and latents -> [B,H,W,C]."""

    def __init__(self, channels: int, make_norm: MakeNorm, *, layers: Layers) -> None:
        super().__init__(channels, layers=layers)
        self.spatial_norm = make_norm(channels)

    def __call__(self, x: Array, latents: Array) -> Array:
        return self._attended(x, self.spatial_norm(x, latents))


class MiddleBlock(nnx.Module):
    """Residual block, attention, residual block at the lowest resolution."""

    def __init__(
        self,
        channels: int,
        make_norm: MakeNorm,
        *,
        layers: Layers,
        attention: type[EncoderAttention] | type[DecoderAttention],
    ) -> None:
        self.resnets = nnx.List(
            [ResnetBlock(channels, channels, make_norm, layers=layers) for _ in range(2)]
        )
        self.attentions = nnx.List([attention(channels, make_norm, layers=layers)])

    def __call__(self, x: Array, *latents: Array) -> Array:
        x = self.resnets[0](x, *latents)
        x = self.attentions[0](x, *latents)
        return self.resnets[1](x, *latents)


class Downsampler(nnx.Module):
    """[B,H,W,C] -> [B,H/2,W/2,C] by a strided convolution."""

    def __init__(self, channels: int, *, layers: Layers) -> None:
        self.conv = Conv(channels, channels, kernel=3, stride=2, layers=layers)

    def __call__(self, x: Array) -> Array:
        # The reference pads one zero right and below, and none left and above.
        return self.conv(jnp.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0))))


class Upsampler(nnx.Module):
    """Doubles both sides, then convolves: [B,H,W,C] -> [B,2H,2W,C]."""

    def __init__(self, channels: int, *, layers: Layers) -> None:
        self.conv = Conv(channels, channels, kernel=3, padding=1, doubled=True, layers=layers)

    def __call__(self, x: Array) -> Array:
        return self.conv(x)
