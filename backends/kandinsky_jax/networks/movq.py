"""The autoencoders between pixels and latents: MoVQ without its codebook, and AutoencoderKL."""

from __future__ import annotations

import functools

import jax.numpy as jnp
from flax import nnx
from jax import Array
from jax.typing import DTypeLike

from kandinsky_core.configs import AutoencoderKLConfig, VQModelConfig
from kandinsky_jax.layers.attention import AttentionFunction, attend
from kandinsky_jax.layers.layers import Conv, GroupNorm, Layers, silu
from kandinsky_jax.networks.movq_blocks import (
    NORM_EPSILON,
    DecoderAttention,
    Downsampler,
    EncoderAttention,
    MakeNorm,
    MiddleBlock,
    ResnetBlock,
    SpatialNorm,
    Upsampler,
)

__all__ = ["AutoencoderKL", "VQModel"]


class VQModel(nnx.Module):
    """MoVQ's encoder and decoder: diffusers' class of this name with `norm_type="spatial"`.

    Latents are neither sampled, scaled nor quantised: pipelines encode to the plain output of the
    encoder and decode with the reference's `force_not_quantize=True`.
    """

    def __init__(
        self,
        config: VQModelConfig,
        *,
        dtype: DTypeLike = jnp.float32,
        param_dtype: DTypeLike = jnp.float32,
        attend: AttentionFunction = attend,
    ) -> None:
        layers = Layers(dtype=dtype, param_dtype=param_dtype, attend=attend, bands=True)
        self.encoder = Encoder(config, config.latent_channels, layers=layers)
        self.quant_conv = Conv(
            config.latent_channels, config.latent_channels, kernel=1, layers=layers
        )
        self.post_quant_conv = Conv(
            config.latent_channels, config.latent_channels, kernel=1, layers=layers
        )

        def make_norm(channels: int) -> SpatialNorm:
            return SpatialNorm(channels, config.latent_channels, layers=layers)

        self.decoder = Decoder(config, make_norm, DecoderAttention, layers=layers)

    def encode(self, pixels: Array) -> Array:
        """Turn pixels in [-1,1], [B,H,W,3], channels-last, into latents [B,H/8,W/8,4]."""
        return self.quant_conv(self.encoder(pixels))

    def decode(self, latents: Array) -> Array:
        """Turn latents [B,h,w,4], channels-last, into unclipped pixels [B,8h,8w,3] about [-1,1]."""
        # The norms see the latents themselves, not what post_quant_conv makes of them.
        return self.decoder(self.post_quant_conv(latents), latents)


class AutoencoderKL(nnx.Module):
    """Encoder and decoder with plain norms: diffusers' class of this name.

    Pipelines sample and scale the latents.
    """

    def __init__(
        self,
        config: AutoencoderKLConfig,
        *,
        dtype: DTypeLike = jnp.float32,
        param_dtype: DTypeLike = jnp.float32,
        attend: AttentionFunction = attend,
    ) -> None:
        layers = Layers(dtype=dtype, param_dtype=param_dtype, attend=attend, bands=True)
        make_norm = functools.partial(
            GroupNorm, groups=config.norm_num_groups, epsilon=NORM_EPSILON, layers=layers
        )
        latent = config.latent_channels
        self.encoder = Encoder(config, 2 * latent, layers=layers)
        self.quant_conv = Conv(2 * latent, 2 * latent, kernel=1, layers=layers)
        self.post_quant_conv = Conv(latent, latent, kernel=1, layers=layers)
        self.decoder = Decoder(config, make_norm, EncoderAttention, layers=layers)

    def encode(self, pixels: Array) -> Array:
        """Turn pixels in [-1,1], [B,H,W,3], into means and log variances [B,H/8,W/8,8]."""
        return self.quant_conv(self.encoder(pixels))

    def decode(self, latents: Array) -> Array:
        """Turn latents [B,h,w,4] into unclipped pixels [B,8h,8w,3] about [-1,1]."""
        return self.decoder(self.post_quant_conv(latents))


class EncoderBlock(nnx.Module):
    """One level: residual blocks, each with attention or none, then a halving or none."""

    def __init__(
        self,
        n_in: int,
        n_out: int,
        count: int,
        make_norm: MakeNorm,
        *,
        layers: Layers,
        attention: bool,
        downsample: bool,
    ) -> None:
        self.resnets = _resnets(n_in, n_out, count, make_norm, layers=layers)
        self.attentions = nnx.List(
            [
                EncoderAttention(n_out, make_norm, layers=layers)
                for _ in range(count if attention else 0)
            ]
        )
        self.downsamplers = nnx.List([Downsampler(n_out, layers=layers)] if downsample else [])

    def __call__(self, x: Array) -> Array:
        for index, resnet in enumerate(self.resnets):
            x = resnet(x)
            if self.attentions:
                x = self.attentions[index](x)
        for downsampler in self.downsamplers:
            x = downsampler(x)
        return x


class DecoderBlock(nnx.Module):
    """One level: residual blocks, each with attention or none, then a doubling or none."""

    def __init__(
        self,
        n_in: int,
        n_out: int,
        count: int,
        make_norm: MakeNorm,
        *,
        layers: Layers,
        attention: bool,
        upsample: bool,
    ) -> None:
        self.resnets = _resnets(n_in, n_out, count, make_norm, layers=layers)
        self.attentions = nnx.List(
            [
                DecoderAttention(n_out, make_norm, layers=layers)
                for _ in range(count if attention else 0)
            ]
        )
        self.upsamplers = nnx.List([Upsampler(n_out, layers=layers)] if upsample else [])

    def __call__(self, x: Array, *latents: Array) -> Array:
        for index, resnet in enumerate(self.resnets):
            x = resnet(x, *latents)
            if self.attentions:
                x = self.attentions[index](x, *latents)
        for upsampler in self.upsamplers:
            x = upsampler(x)
        return x


class Encoder(nnx.Module):
    """The half from pixels to latents: [B,H,W,3] -> [B,H/8,W/8,n_out]."""

    def __init__(
        self, config: VQModelConfig | AutoencoderKLConfig, n_out: int, *, layers: Layers
    ) -> None:
        widths = config.block_out_channels
        make_norm = functools.partial(
            GroupNorm, groups=config.norm_num_groups, epsilon=NORM_EPSILON, layers=layers
        )
        levels = zip(config.down_block_types, (widths[0], *widths[:-1]), widths, strict=True)
        self.conv_in = Conv(config.in_channels, widths[0], kernel=3, padding=1, layers=layers)
        self.down_blocks = nnx.List(
            [
                EncoderBlock(
                    n_in,
                    n_out,
                    config.layers_per_block,
                    make_norm,
                    layers=layers,
                    attention=kind == "AttnDownEncoderBlock2D",
                    downsample=level != len(widths) - 1,
                )
                for level, (kind, n_in, n_out) in enumerate(levels)
            ]
        )
        self.mid_block = MiddleBlock(
            widths[-1], make_norm, layers=layers, attention=EncoderAttention
        )
        self.conv_norm_out = make_norm(widths[-1])
        self.conv_out = Conv(widths[-1], n_out, kernel=3, padding=1, layers=layers)

    def __call__(self, pixels: Array) -> Array:
        x = self.conv_in(pixels)
        for block in self.down_blocks:
            x = block(x)
        x = self.mid_block(x)
        return self.conv_out(silu(self.conv_norm_out(x)))


class Decoder(nnx.Module):
    """The half from latents to pixels: [B,h,w,latent_channels], latents [B,h,w,c] -> [B,8h,8w,3].

    MoVQ's norms take the second argument, the latents that no convolution has changed.
    """

    def __init__(
        self,
        config: VQModelConfig | AutoencoderKLConfig,
        make_norm: MakeNorm,
        attention: type[EncoderAttention] | type[DecoderAttention],
        *,
        layers: Layers,
    ) -> None:
        widths = config.block_out_channels[::-1]
        levels = zip(config.up_block_types, (widths[0], *widths[:-1]), widths, strict=True)
        self.conv_in = Conv(config.latent_channels, widths[0], kernel=3, padding=1, layers=layers)
        self.mid_block = MiddleBlock(widths[0], make_norm, layers=layers, attention=attention)
        self.up_blocks = nnx.List(
            [
                DecoderBlock(
                    n_in,
                    n_out,
                    config.layers_per_block + 1,
                    make_norm,
                    layers=layers,
                    attention=kind == "AttnUpDecoderBlock2D",
                    upsample=level != len(widths) - 1,
                )
                for level, (kind, n_in, n_out) in enumerate(levels)
            ]
        )
        self.conv_norm_out = make_norm(widths[-1])
        self.conv_out = Conv(widths[-1], config.out_channels, kernel=3, padding=1, layers=layers)

    def __call__(self, x: Array, *latents: Array) -> Array:
        x = self.conv_in(x)
        x = self.mid_block(x, *latents)
        for block in self.up_blocks:
            x = block(x, *latents)
        return self.conv_out(silu(self.conv_norm_out(x, *latents)))


def _resnets(
    n_in: int, n_out: int, count: int, make_norm: MakeNorm, *, layers: Layers
) -> nnx.List[ResnetBlock]:
    inputs = [n_in] + [n_out] * (count - 1)
    return nnx.List([ResnetBlock(width, n_out, make_norm, layers=layers) for width in inputs])
