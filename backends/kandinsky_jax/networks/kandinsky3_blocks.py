"""Blocks of Kandinsky 3's UNet: norms, residual blocks, attention, and levels."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jax import Array

from kandinsky_core.configs import Kandinsky3UNetConfig
from kandinsky_jax.layers.attention import heads_of_product, merge_heads
from kandinsky_jax.layers.group_statistics import group_normalised
from kandinsky_jax.layers.layers import Conv, Identity, Layers, Linear, silu
from kandinsky_jax.layers.products import product
from kandinsky_jax.networks.kandinsky3_image_prompt import (
    ImageBranch,
    TextAndImage,
)
from kandinsky_jax.networks.prepared import (
    AttentionTokens,
    BlockTokens,
    KeyValue,
    TextAndImageTokens,
)
from kandinsky_jax.networks.unet_blocks import NORM_EPSILON

__all__ = ["Attention", "DownBlock", "UpBlock"]

_EXPANSION = 4  # feed-forward layers have so many times the channels
_COMPRESSION = 2  # inside residual blocks channels are divided by it
_KERNELS = (1, 3, 3, 1)  # sides of the four kernels of a residual block
_UP_AT, _DOWN_AT = 1, 2  # the convolution that changes the resolution


class ConditionalGroupNorm(nnx.Module):
    """Group norm scaled and shifted by the time: [B,H,W,C], [B,T] -> [B,H,W,C].

    The time embedding comes activated; the reference activates it in each norm anew.
    """

    def __init__(self, channels: int, config: Kandinsky3UNetConfig, *, layers: Layers) -> None:
        self.context_mlp: nnx.List[Any] = nnx.List(
            [Identity(), Linear(config.time_embedding_dim, 2 * channels, layers=layers)]
        )
        self.groups = config.groups
        self.dtype = layers.dtype

    def __call__(self, x: Array, time: Array) -> Array:
        scale_shift = self.context_mlp[1](time)[:, None, None].astype(jnp.float32)  # [B,1,1,2C]
        scale, shift = jnp.split(scale_shift, 2, axis=-1)
        normal = group_normalised(
            x, groups=self.groups, epsilon=NORM_EPSILON, scale=1 + scale, shift=shift
        )
        return normal.astype(self.dtype)


class UpConv(nnx.Module):
    """Transposed convolution of side 2 and stride 2: [B,H,W,n_in] -> [B,2H,2W,n_out].

    Windows do not overlap, so one product computes all output pixels.
    """

    def __init__(self, n_in: int, n_out: int, *, layers: Layers) -> None:
        # The rule for convolutions turns PyTorch's [in,out,h,w] into this: output before input.
        self.kernel = layers.parameter(2, 2, n_out, n_in)
        self.bias = layers.parameter(n_out)
        self.dtype = layers.dtype

    def __call__(self, x: Array) -> Array:
        batch, height, width, _ = x.shape
        kernel = self.kernel[...].astype(self.dtype)
        y = product(x.astype(self.dtype), kernel, "bhwi,xyoi->bhxwyo")
        y = y.reshape(batch, 2 * height, 2 * width, -1)  # [B,H,2,W,2,n_out] -> [B,2H,2W,n_out]
        return y + self.bias[...].astype(self.dtype)


class Block(nnx.Module):
    """A quarter of a residual block: norm, SiLU, maybe doubling, convolution, maybe halving."""

    def __init__(
        self,
        n_in: int,
        n_out: int,
        config: Kandinsky3UNetConfig,
        *,
        layers: Layers,
        kernel: int,
        up: bool,
        down: bool,
    ) -> None:
        self.group_norm = ConditionalGroupNorm(n_in, config, layers=layers)
        self.up_sample = UpConv(n_in, n_in, layers=layers) if up else Identity()
        self.projection = Conv(n_in, n_out, kernel=kernel, padding=kernel // 2, layers=layers)
        self.down_sample = _halving(n_out, layers=layers) if down else Identity()

    def __call__(self, x: Array, time: Array) -> Array:
        x = self.up_sample(silu(self.group_norm(x, time)))
        return self.down_sample(self.projection(x))


class ResnetBlock(nnx.Module):
    """Four blocks with a shortcut: [B,H,W,n_in], activated time [B,T] -> [B,H',W',n_out]."""

    def __init__(
        self,
        n_in: int,
        n_out: int,
        config: Kandinsky3UNetConfig,
        *,
        layers: Layers,
        up: bool = False,
        down: bool = False,
    ) -> None:
        inner = max(n_in, n_out) // _COMPRESSION
        widths = (n_in, inner, inner, inner, n_out)
        self.resnet_blocks = nnx.List(
            [
                Block(
                    widths[index],
                    widths[index + 1],
                    config,
                    layers=layers,
                    kernel=kernel,
                    up=up and index == _UP_AT,
                    down=down and index == _DOWN_AT,
                )
                for index, kernel in enumerate(_KERNELS)
            ]
        )
        self.shortcut_up_sample = UpConv(n_in, n_in, layers=layers) if up else Identity()
        self.shortcut_projection = (
            Conv(n_in, n_out, kernel=1, layers=layers) if n_in != n_out else Identity()
        )
        self.shortcut_down_sample = _halving(n_out, layers=layers) if down else Identity()

    def __call__(self, x: Array, time: Array) -> Array:
        out = x
        for block in self.resnet_blocks:
            out = block(out, time)
        return out + self.shortcut_down_sample(self.shortcut_projection(self.shortcut_up_sample(x)))


class Attention(nnx.Module):
    """Queries [B,Q,n_query] attend to [B,L,n_context] -> [B,Q,width].

    With `image` they attend to image tokens too, where the context has such; see `ImageBranch`.
    """

    def __init__(
        self,
        width: int,
        n_query: int,
        n_context: int,
        head_width: int,
        *,
        layers: Layers,
        image: bool = False,
    ) -> None:
        self.to_q = Linear(n_query, width, bias=False, layers=layers)
        self.to_k = Linear(n_context, width, bias=False, layers=layers)
        self.to_v = Linear(n_context, width, bias=False, layers=layers)
        self.to_out = nnx.List([Linear(width, width, bias=False, layers=layers)])
        self.heads = width // head_width
        self.attend = layers.attend
        if image:
            self.ip_adapter = ImageBranch(width, n_context, self.heads, layers=layers)

    def prepare(self, context: Array | TextAndImage) -> AttentionTokens:
        """Make keys and values from [B,L,n_context]."""
        text = context.text if isinstance(context, TextAndImage) else context
        tokens = KeyValue(
            heads_of_product(self.to_k(text), self.heads),
            heads_of_product(self.to_v(text), self.heads),
        )
        if isinstance(context, TextAndImage):
            return self.ip_adapter.prepare(tokens, context)
        return tokens

    def __call__(self, x: Array, tokens: AttentionTokens, bias: Array | None = None) -> Array:
        query = heads_of_product(self.to_q(x), self.heads)
        text = tokens.text if isinstance(tokens, TextAndImageTokens) else tokens
        out: Array = self.to_out[0](merge_heads(self.attend(query, *text, bias=bias)))
        if isinstance(tokens, TextAndImageTokens):
            out = out + self.ip_adapter(query, tokens)
        return out


class AttentionBlock(nnx.Module):
    """Pixels attend to the text, or to each other if none is given; then a feed-forward layer.

    Both are added to their input.
    """

    def __init__(
        self,
        width: int,
        n_context: int,
        config: Kandinsky3UNetConfig,
        *,
        layers: Layers,
        image: bool = False,
    ) -> None:
        inner = _EXPANSION * width
        self.in_norm = ConditionalGroupNorm(width, config, layers=layers)
        self.attention = Attention(
            width, width, n_context, config.attention_head_dim, layers=layers, image=image
        )
        self.out_norm = ConditionalGroupNorm(width, config, layers=layers)
        self.feed_forward: nnx.List[Any] = nnx.List(
            [
                Conv(width, inner, kernel=1, bias=False, layers=layers),
                Identity(),
                Conv(inner, width, kernel=1, bias=False, layers=layers),
            ]
        )

    def __call__(
        self,
        x: Array,
        time: Array,
        tokens: AttentionTokens | None = None,
        bias: Array | None = None,
    ) -> Array:
        flat = self.in_norm(x, time).reshape(x.shape[0], -1, x.shape[-1])  # [B,H*W,C]
        read = self.attention.prepare(flat) if tokens is None else tokens
        x = x + self.attention(flat, read, bias).reshape(x.shape)
        wide = silu(self.feed_forward[0](self.out_norm(x, time)))
        y: Array = x + self.feed_forward[2](wide)
        return y


class _Level(nnx.Module):
    """Base of the levels of both directions.

    In `attentions` the first is of pixels to each other. The others are to the text, one between
    each pair of residual blocks. A level without attention has placeholders.
    """

    attentions: nnx.List[Any]
    resnets_in: nnx.List[ResnetBlock]
    resnets_out: nnx.List[ResnetBlock]
    attends: bool

    def prepare(self, context: Array | TextAndImage) -> BlockTokens:
        """Make keys and values from [B,L,cross_attention_dim] for each attention to the text."""
        blocks = self.attentions[1:] if self.attends else ()
        return tuple(block.attention.prepare(context) for block in blocks)

    def _attend_to_pixels(self, x: Array, time: Array) -> Array:
        y: Array = self.attentions[0](x, time) if self.attends else x
        return y

    def _run(self, x: Array, time: Array, tokens: BlockTokens, bias: Array) -> Array:
        for index, (first, last) in enumerate(zip(self.resnets_in, self.resnets_out, strict=True)):
            x = first(x, time)
            if self.attends:
                x = self.attentions[index + 1](x, time, tokens[index], bias)
            x = last(x, time)
        return x


class DownBlock(_Level):
    """One level of the way down; halves the resolution unless it is the last."""

    def __init__(
        self,
        n_in: int,
        n_out: int,
        config: Kandinsky3UNetConfig,
        *,
        layers: Layers,
        attention: bool,
        downsample: bool,
    ) -> None:
        count = config.layers_per_block
        inputs = [n_in] + [n_out] * (count - 1)
        self.attends = attention
        self.attentions = _attentions(n_in, [n_out] * count, config, attention, layers=layers)
        self.resnets_in = nnx.List(
            [ResnetBlock(width, n_out, config, layers=layers) for width in inputs]
        )
        self.resnets_out = nnx.List(
            [
                ResnetBlock(
                    n_out, n_out, config, layers=layers, down=downsample and index == count - 1
                )
                for index in range(count)
            ]
        )

    def __call__(self, x: Array, time: Array, tokens: BlockTokens, bias: Array) -> Array:
        return self._run(self._attend_to_pixels(x, time), time, tokens, bias)


class UpBlock(_Level):
    """One level of the way up; doubles the resolution unless it is the first.

    Its input has `n_skip` channels of the level opposite behind the channels of the level before.
    """

    def __init__(
        self,
        n_in: int,
        n_skip: int,
        n_out: int,
        config: Kandinsky3UNetConfig,
        *,
        layers: Layers,
        attention: bool,
        upsample: bool,
    ) -> None:
        last = config.layers_per_block - 1
        inner = [n_in + n_skip] + [n_in] * last
        outputs = [n_in] * last + [n_out]
        self.attends = attention
        self.attentions = _attentions(n_out, inner, config, attention, layers=layers)
        self.resnets_in = nnx.List(
            [
                ResnetBlock(width, width, config, layers=layers, up=upsample and index == 0)
                for index, width in enumerate(inner)
            ]
        )
        self.resnets_out = nnx.List(
            [
                ResnetBlock(width, output, config, layers=layers)
                for width, output in zip(inner, outputs, strict=True)
            ]
        )

    def __call__(self, x: Array, time: Array, tokens: BlockTokens, bias: Array) -> Array:
        return self._attend_to_pixels(self._run(x, time, tokens, bias), time)


def _attentions(
    pixels: int,
    texts: list[int],
    config: Kandinsky3UNetConfig,
    attention: bool,
    *,
    layers: Layers,
) -> nnx.List[Any]:
    """Make a level's attentions, to pixels and then to the text, or placeholders for them."""
    if not attention:
        return nnx.List([Identity() for _ in (pixels, *texts)])
    image = config.num_image_tokens > 0
    context = config.cross_attention_dim
    return nnx.List(
        [
            AttentionBlock(pixels, pixels, config, layers=layers),
            *(
                AttentionBlock(width, context, config, layers=layers, image=image)
                for width in texts
            ),
        ]
    )


def _halving(channels: int, *, layers: Layers) -> Conv:
    return Conv(channels, channels, kernel=2, stride=2, layers=layers)
