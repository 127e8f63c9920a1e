"""Blocks of the UNet of Kandinsky 2: residual, attention, down, middle and up blocks."""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
from flax import nnx
from jax import Array

from kandinsky_core.configs import UNet2DConditionConfig
from kandinsky_jax.layers.attention import merge_heads, split_heads
from kandinsky_jax.layers.layers import (
    Conv,
    GroupNorm,
    Layers,
    Linear,
    average_pool_2x2,
    silu,
    upsample_nearest,
)
from kandinsky_jax.networks.prepared import BlockTokens, KeyValue

__all__ = ["DownBlock", "MiddleBlock", "UpBlock"]

NORM_EPSILON = 1e-5


def _unchanged(x: Array) -> Array:
    return x


class ResnetBlock(nnx.Module):
    """Two convolutions and a shortcut: [B,H,W,n_in], activated time [B,T] -> [B,H',W',n_out].

    `resize` acts on both branches. On the main one it comes before the first convolution, and a
    doubling is part of that convolution.
    """

    def __init__(
        self,
        n_in: int,
        n_out: int,
        config: UNet2DConditionConfig,
        *,
        layers: Layers,
        resize: Callable[[Array], Array] = _unchanged,
    ) -> None:
        groups = config.norm_num_groups
        self.norm1 = GroupNorm(n_in, groups=groups, epsilon=NORM_EPSILON, layers=layers)
        self.doubles = resize is upsample_nearest
        self.conv1 = Conv(n_in, n_out, kernel=3, padding=1, doubled=self.doubles, layers=layers)
        self.time_emb_proj = Linear(config.time_embed_dim, 2 * n_out, layers=layers)
        self.norm2 = GroupNorm(n_out, groups=groups, epsilon=NORM_EPSILON, layers=layers)
        self.conv2 = Conv(n_out, n_out, kernel=3, padding=1, layers=layers)
        self.conv_shortcut = Conv(n_in, n_out, kernel=1, layers=layers) if n_in != n_out else None
        self.resize = resize

    def __call__(self, x: Array, time: Array) -> Array:
        h = silu(self.norm1(x))
        h = self.conv1(h if self.doubles else self.resize(h))
        scale_shift = self.time_emb_proj(time)[:, None, None]  # [B,1,1,2C]
        scale, shift = jnp.split(scale_shift, 2, axis=-1)
        h = self.conv2(silu(self.norm2(h, scale, shift)))
        x = self.resize(x)
        return h + (x if self.conv_shortcut is None else self.conv_shortcut(x))


class TokenAttention(nnx.Module):
    """Pixels attend to the conditioning tokens and to each other in one softmax, with residual."""

    def __init__(self, width: int, config: UNet2DConditionConfig, *, layers: Layers) -> None:
        self.group_norm = GroupNorm(
            width, groups=config.norm_num_groups, epsilon=NORM_EPSILON, layers=layers
        )
        self.to_q = Linear(width, width, layers=layers)
        self.to_k = Linear(width, width, layers=layers)
        self.to_v = Linear(width, width, layers=layers)
        self.add_k_proj = Linear(config.cross_attention_dim, width, layers=layers)
        self.add_v_proj = Linear(config.cross_attention_dim, width, layers=layers)
        self.to_out = nnx.List([Linear(width, width, layers=layers)])
        self.heads = width // config.attention_head_dim
        self.attend = layers.attend

    def prepare(self, tokens: Array) -> KeyValue:
        """Make this attention's keys and values from [B,T,cross_attention_dim]."""
        return KeyValue(
            split_heads(self.add_k_proj(tokens), self.heads),
            split_heads(self.add_v_proj(tokens), self.heads),
        )

    def __call__(self, x: Array, tokens: KeyValue) -> Array:
        batch, height, width, channels = x.shape
        flat = self.group_norm(x).reshape(batch, height * width, channels)
        query, key, value = (
            split_heads(project(flat), self.heads) for project in (self.to_q, self.to_k, self.to_v)
        )
        key = jnp.concatenate([tokens.key, key], axis=1)
        value = jnp.concatenate([tokens.value, value], axis=1)
        out = self.to_out[0](merge_heads(self.attend(query, key, value)))
        return out.reshape(x.shape) + x


class _Block(nnx.Module):
    """Base of the three kinds of block, each of which has a list of attentions."""

    attentions: nnx.List[TokenAttention]

    def prepare(self, tokens: Array) -> BlockTokens:
        """Make keys and values from [B,T,cross_attention_dim] for each attention of the block."""
        return tuple(attention.prepare(tokens) for attention in self.attentions)


def _attentions(
    count: int, width: int, config: UNet2DConditionConfig, *, layers: Layers
) -> nnx.List[TokenAttention]:
    return nnx.List([TokenAttention(width, config, layers=layers) for _ in range(count)])


class DownBlock(_Block):
    """Residual blocks, each with attention or none, then a halving unless it is the last level."""

    def __init__(
        self,
        n_in: int,
        n_out: int,
        config: UNet2DConditionConfig,
        *,
        layers: Layers,
        attention: bool,
        downsample: bool,
    ) -> None:
        count = config.layers_per_block
        inputs = [n_in] + [n_out] * (count - 1)
        self.resnets = nnx.List(
            [ResnetBlock(width, n_out, config, layers=layers) for width in inputs]
        )
        self.attentions = _attentions(count if attention else 0, n_out, config, layers=layers)
        self.downsamplers = nnx.List(
            [ResnetBlock(n_out, n_out, config, layers=layers, resize=average_pool_2x2)]
            if downsample
            else []
        )

    def __call__(
        self, x: Array, time: Array, tokens: BlockTokens
    ) -> tuple[Array, tuple[Array, ...]]:
        """Return the output, and the skips for the up blocks: outputs of resnets and halving."""
        skips = []
        for index, resnet in enumerate(self.resnets):
            x = resnet(x, time)
            if self.attentions:
                x = self.attentions[index](x, tokens[index])
            skips.append(x)
        for downsampler in self.downsamplers:
            x = downsampler(x, time)
            skips.append(x)
        return x, tuple(skips)


class MiddleBlock(_Block):
    """Residual block, attention, residual block at the lowest resolution."""

    def __init__(self, width: int, config: UNet2DConditionConfig, *, layers: Layers) -> None:
        self.resnets = nnx.List(
            [ResnetBlock(width, width, config, layers=layers) for _ in range(2)]
        )
        self.attentions = _attentions(1, width, config, layers=layers)

    def __call__(self, x: Array, time: Array, tokens: BlockTokens) -> Array:
        x = self.resnets[0](x, time)
        x = self.attentions[0](x, tokens[0])
        return self.resnets[1](x, time)


class UpBlock(_Block):
    """The mirror of a down block; each residual block first takes back one skip.

    The doubling ends on the next level, so its convolutions take the form of that level.
    """

    def __init__(
        self,
        n_in: int,
        n_out: int,
        skips: list[int],
        config: UNet2DConditionConfig,
        *,
        layers: Layers,
        attention: bool,
        upsample: bool,
        lowest: bool,
    ) -> None:
        inputs = [n_in] + [n_out] * (len(skips) - 1)
        own = layers.untiled() if lowest else layers
        self.resnets = nnx.List(
            [
                ResnetBlock(width + skip, n_out, config, layers=own)
                for width, skip in zip(inputs, skips, strict=True)
            ]
        )
        self.attentions = _attentions(len(skips) if attention else 0, n_out, config, layers=own)
        self.upsamplers = nnx.List(
            [ResnetBlock(n_out, n_out, config, layers=layers, resize=upsample_nearest)]
            if upsample
            else []
        )

    def __call__(
        self, x: Array, time: Array, tokens: BlockTokens, skips: tuple[Array, ...]
    ) -> Array:
        """Run the block; `skips` has one item for each residual block, in their order."""
        for index, (resnet, skip) in enumerate(zip(self.resnets, skips, strict=True)):
            x = resnet(jnp.concatenate([x, skip], axis=-1), time)
            if self.attentions:
                x = self.attentions[index](x, tokens[index])
        for upsampler in self.upsamplers:
            x = upsampler(x, time)
        return x
