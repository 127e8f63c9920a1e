"""The UNet of KandiSuperRes: it predicts the pixels of a larger picture from a small one."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array
from jax.typing import DTypeLike

from kandinsky_core.configs import SuperResUNetConfig
from kandinsky_core.errors import InvalidInputError
from kandinsky_jax.layers.attention import AttentionFunction, attend
from kandinsky_jax.layers.layers import (
    Conv,
    GroupNorm,
    Layers,
    Linear,
    TimestepEmbedding,
    silu,
    timestep_sinusoid_of_sines,
)
from kandinsky_jax.layers.products import convolution
from kandinsky_jax.networks.prepared import SmallPicture
from kandinsky_jax.networks.unet_blocks import NORM_EPSILON

__all__ = ["KandinskySuperResUNet"]

# The taps of a side of 4 that make the even pixels of a doubled side, and those that make the odd.
_TAPS = ((3, 1), (2, 0))


class Doubling(nnx.Module):
    """A transposed convolution of side 4, stride 2 and padding 1: [B,H,W,C] -> [B,2H,2W,C].

    Each of the four kinds of output pixel sees 2 x 2 input pixels. So one convolution of side 2
    makes all of them, where the plain form would multiply with zeros three times out of four.
    """

    def __init__(self, channels: int, *, layers: Layers) -> None:
        # The rule for convolutions turns PyTorch's [in,out,h,w] into this: output before input.
        self.kernel = layers.parameter(4, 4, channels, channels)
        self.bias = layers.parameter(channels)
        self.dtype = layers.dtype

    def __call__(self, x: Array) -> Array:
        kernel = self.kernel[...].astype(self.dtype)
        batch, height, width, channels = x.shape
        phases = [kernel[np.ix_(rows, columns)] for rows in _TAPS for columns in _TAPS]
        y = convolution(
            x.astype(self.dtype),
            jnp.concatenate(phases, axis=2),  # [2,2,4C,C]
            padding=1,
            kernel_axes="HWOI",
        ).reshape(batch, height + 1, width + 1, 2, 2, channels)
        # Odd pixels start one input pixel later than even ones.
        rows = jnp.stack([y[:, :-1, :, 0], y[:, 1:, :, 1]], axis=2)  # [B,H,2,W+1,2,C]
        cells = jnp.stack([rows[:, :, :, :-1, 0], rows[:, :, :, 1:, 1]], axis=4)  # [B,H,2,W,2,C]
        doubled = cells.reshape(batch, 2 * height, 2 * width, channels)
        return doubled + self.bias[...].astype(self.dtype)


class ResnetBlock(nnx.Module):
    """Two convolutions with a shortcut: [B,H,W,n_in], activated time [B,T] -> [B,H',W',n_out].

    The first norm is not followed by an activation. A change of size comes before the convolution;
    the shortcut has weights of its own for it.
    """

    def __init__(
        self,
        n_in: int,
        n_out: int,
        config: SuperResUNetConfig,
        *,
        layers: Layers,
        resize: type[Doubling] | type[Halving] | None = None,
    ) -> None:
        def norm(channels: int) -> GroupNorm:
            return GroupNorm(channels, groups=config.groups, epsilon=NORM_EPSILON, layers=layers)

        self.norm1 = norm(n_in)
        self.sampler = None if resize is None else resize(n_in, layers=layers)
        self.conv1 = Conv(n_in, n_out, kernel=3, padding=1, layers=layers)
        self.time_emb_proj = Linear(config.time_embedding_dim, 2 * n_out, layers=layers)
        self.norm2 = norm(n_out)
        self.conv2 = Conv(n_out, n_out, kernel=3, padding=1, layers=layers)
        self.shortcut_sampler = None if resize is None else resize(n_in, layers=layers)
        changes = n_in != n_out or resize is not None
        self.conv_shortcut = Conv(n_in, n_out, kernel=1, layers=layers) if changes else None

    def __call__(self, x: Array, time: Array) -> Array:
        y = self.norm1(x)
        y = self.conv1(y if self.sampler is None else self.sampler(y))
        scale, shift = jnp.split(self.time_emb_proj(time)[:, None, None], 2, axis=-1)
        y = self.conv2(silu(self.norm2(y, scale, shift)))
        x = x if self.shortcut_sampler is None else self.shortcut_sampler(x)
        return y + (x if self.conv_shortcut is None else self.conv_shortcut(x))


class Halving(Conv):
    """A convolution of side 4, stride 2 and padding 1: [B,H,W,C] -> [B,H/2,W/2,C]."""

    def __init__(self, channels: int, *, layers: Layers) -> None:
        super().__init__(channels, channels, kernel=4, stride=2, padding=1, layers=layers)


class Level(nnx.Module):
    """The residual blocks of one resolution."""

    def __init__(self, resnets: list[ResnetBlock]) -> None:
        self.resnets = nnx.List(resnets)

    def __call__(self, x: Array, time: Array) -> Array:
        for resnet in self.resnets:
            x = resnet(x, time)
        return x


class KandinskySuperResUNet(nnx.Module):
    """The UNet in pixel space, without attention.

    Source: ai-forever/KandiSuperRes, `KandiSuperRes/model/unet_sr.py`.
    """

    def __init__(
        self,
        config: SuperResUNetConfig,
        *,
        dtype: DTypeLike = jnp.float32,
        param_dtype: DTypeLike = jnp.float32,
        attend: AttentionFunction = attend,
        tiled: bool = False,
    ) -> None:
        layers = Layers(dtype=dtype, param_dtype=param_dtype, attend=attend, tiled=tiled)
        ends = layers.untiled() if tiled else layers  # few channels gain nothing by tiles
        first = config.init_channels
        self.dtype = jnp.dtype(dtype)
        self.size_multiple = config.size_multiple
        self.time_embedding = TimestepEmbedding(first, config.time_embedding_dim, layers=layers)
        self.conv_in = Conv(config.in_channels, first, kernel=3, padding=1, layers=ends)
        self.down_blocks = _down_blocks(config, layers=layers)
        self.up_blocks = _up_blocks(config, layers=layers)
        self.conv_norm_out = GroupNorm(
            first, groups=config.groups, epsilon=NORM_EPSILON, layers=layers
        )
        self.conv_out = Conv(first, config.out_channels, kernel=3, padding=1, layers=ends)

    def prepare(self, image_latents: Array) -> SmallPicture:
        """Keep the small picture, enlarged to the sample's size, [B,H,W,3] in [-1,1]."""
        return SmallPicture(image_latents.astype(self.dtype))

    def __call__(self, sample: Array, timestep: Array, prepared: SmallPicture) -> Array:
        """Predict the large picture.

        Args:
            sample: Noisy pixels, [B,H,W,3], channels-last.
            timestep: [B], on the scale of the training steps.
            prepared: The result of `prepare` for the same batch.

        Returns:
            [B,H,W,3], the clean pixels in [-1,1], not clipped.

        Raises:
            InvalidInputError: H or W is no multiple of `size_multiple`, 8 for the published models.
        """
        height, width = sample.shape[1:3]
        if height % self.size_multiple or width % self.size_multiple:
            raise InvalidInputError(
                f"pictures are {height} x {width}; the UNet needs multiples of {self.size_multiple}"
            )
        x = self.conv_in(jnp.concatenate([sample, prepared.pixels.astype(sample.dtype)], axis=-1))
        sinusoid = timestep_sinusoid_of_sines(timestep, x.shape[-1]).astype(self.dtype)
        time = silu(self.time_embedding(sinusoid))  # each block would activate it
        skips: list[Array] = []
        for down in self.down_blocks:
            x = down(x, time)
            skips.append(x)
        skips.pop()  # the lowest level hands its output straight on
        for level, up in enumerate(self.up_blocks):
            x = up(jnp.concatenate([x, skips.pop()], axis=-1) if level else x, time)
        return self.conv_out(silu(self.conv_norm_out(x)))


def _down_blocks(config: SuperResUNetConfig, *, layers: Layers) -> nnx.List[Level]:
    widths = config.block_out_channels
    levels = []
    for level, (n_in, n_out) in enumerate(
        zip((config.init_channels, *widths[:-1]), widths, strict=True)
    ):
        resize = Halving if level < len(widths) - 1 else None
        first = ResnetBlock(n_in, n_out, config, layers=layers, resize=resize)
        others = [
            ResnetBlock(n_out, n_out, config, layers=layers)
            for _ in range(config.layers_per_block[level] - 1)
        ]
        levels.append(Level([first, *others]))
    return nnx.List(levels)


def _up_blocks(config: SuperResUNetConfig, *, layers: Layers) -> nnx.List[Level]:
    """Build the way up; each level but the lowest doubles the picture in its last block."""
    widths = config.block_out_channels[::-1]
    levels = []
    for level, (width, n_out) in enumerate(
        zip(widths, (*widths[1:], config.init_channels), strict=True)
    ):
        between = config.layers_per_block[::-1][level] - 2
        resize = Doubling if level else None
        first = ResnetBlock(2 * width if level else width, width, config, layers=layers)
        others = [ResnetBlock(width, width, config, layers=layers) for _ in range(between)]
        last = ResnetBlock(width, n_out, config, layers=layers, resize=resize)
        levels.append(Level([first, *others, last]))
    return nnx.List(levels)
