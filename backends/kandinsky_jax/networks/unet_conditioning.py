"""Heads that turn conditioning into the form that the UNet's blocks read.

A model has two heads, which its config names. One makes the tokens that attention reads. The other
makes a vector that is added to the time embedding, and in a ControlNet also channels of the UNet's
input. Another kind of model adds a class here and an entry in the tables at the end.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jax import Array

from kandinsky_core.configs import Kandinsky20UNetConfig, UNet2DConditionConfig
from kandinsky_jax.layers.attention import merge_heads, split_heads
from kandinsky_jax.layers.layers import Conv, Identity, LayerNorm, Layers, Linear, silu

__all__ = ["EMBEDDING_HEADS", "TOKEN_HEADS"]

# Tokens of an image embedding in Kandinsky 2.2 and in 2.1; the config does not tell them.
IMAGE_TOKENS = 32
IMAGE_TOKENS_BESIDE_TEXT = 10
# Channels in the hint's block: each widening beyond 16 halves the sides. No config tells them.
_HINT_CHANNELS = (3, 16, 16, 32, 32, 96, 96, 256, 4)


class ImageTokens(nnx.Module):
    """`image_proj`: [B,D] -> [B,32,cross_attention_dim]."""

    def __init__(self, config: UNet2DConditionConfig, *, layers: Layers) -> None:
        width = config.cross_attention_dim
        self.image_embeds = Linear(config.encoder_hid_dim, IMAGE_TOKENS * width, layers=layers)
        self.norm = LayerNorm(width, layers=layers)

    def __call__(self, image_embeds: Array, text_states: Array | None) -> Array:
        tokens = self.image_embeds(image_embeds).reshape(image_embeds.shape[0], IMAGE_TOKENS, -1)
        return self.norm(tokens)


class TextImageTokens(nnx.Module):
    """`text_image_proj`: [B,D] and [B,L,encoder_hid_dim] -> [B,10+L,cross_attention_dim]."""

    def __init__(self, config: UNet2DConditionConfig, *, layers: Layers) -> None:
        width = config.cross_attention_dim
        self.image_embeds = Linear(
            config.image_embed_dim, IMAGE_TOKENS_BESIDE_TEXT * width, layers=layers
        )
        self.text_proj = Linear(config.encoder_hid_dim, width, layers=layers)

    def __call__(self, image_embeds: Array, text_states: Array | None) -> Array:
        assert text_states is not None
        count = IMAGE_TOKENS_BESIDE_TEXT
        image = self.image_embeds(image_embeds).reshape(image_embeds.shape[0], count, -1)
        return jnp.concatenate([image, self.text_proj(text_states)], axis=1)


class ImageEmbedding(nnx.Module):
    """`image`: [B,D] -> [B,time_embed_dim]."""

    def __init__(self, config: UNet2DConditionConfig, *, layers: Layers) -> None:
        self.image_proj = Linear(config.encoder_hid_dim, config.time_embed_dim, layers=layers)
        self.image_norm = LayerNorm(config.time_embed_dim, layers=layers)

    def __call__(self, image_embeds: Array, text_embeds: Array | None) -> Array:
        return self.image_norm(self.image_proj(image_embeds))


class TextImageEmbedding(nnx.Module):
    """`text_image`: [B,D] and [B,cross_attention_dim] -> [B,time_embed_dim]."""

    def __init__(self, config: UNet2DConditionConfig, *, layers: Layers) -> None:
        width = config.time_embed_dim
        self.text_proj = Linear(config.cross_attention_dim, width, layers=layers)
        self.text_norm = LayerNorm(width, layers=layers)
        self.image_proj = Linear(config.image_embed_dim, width, layers=layers)

    def __call__(self, image_embeds: Array, text_embeds: Array | None) -> Array:
        assert text_embeds is not None
        return self.image_proj(image_embeds) + self.text_norm(self.text_proj(text_embeds))


class ImageHintEmbedding(ImageEmbedding):
    """`image_hint`: `image`, and a block that turns a hint into channels of the UNet's input."""

    def __init__(self, config: UNet2DConditionConfig, *, layers: Layers) -> None:
        super().__init__(config, layers=layers)
        block: list[Any] = []
        for n_in, n_out in pairwise(_HINT_CHANNELS):
            # The checkpoint's names count the activations between the convolutions too.
            stride = 2 if n_out > n_in and n_in != 3 else 1
            block += [Conv(n_in, n_out, kernel=3, padding=1, stride=stride, layers=layers)]
            block += [Identity()]
        self.input_hint_block = nnx.List(block[:-1])

    def hint_channels(self, hint: Array) -> Array:
        """Turn hints [B,8h,8w,3] in [0, 1] into channels [B,h,w,4]."""
        *convolutions, last = self.input_hint_block[::2]
        for convolution in convolutions:
            hint = silu(convolution(hint))
        channels: Array = last(hint)
        return channels


class TwoTextTokens(nnx.Module):
    """`two_texts_proj`: states [B,L,D] and [B,L,E] -> [B,2L,cross_attention_dim]."""

    def __init__(self, config: Kandinsky20UNetConfig, *, layers: Layers) -> None:
        width = config.cross_attention_dim
        self.text_proj = Linear(config.encoder_hid_dim, width, layers=layers)
        self.text_proj_2 = Linear(config.encoder_hid_dim_2, width, layers=layers)
        self.norm = LayerNorm(width, layers=layers)

    def __call__(self, states: Array, others: Array) -> Array:
        tokens = [self.text_proj(states), self.text_proj_2(others)]
        return self.norm(jnp.concatenate(tokens, axis=1))


class AttentionPooling(nnx.Module):
    """What the first token sees of all tokens: [B,L,E] -> [B,n_out]."""

    def __init__(self, config: Kandinsky20UNetConfig, *, layers: Layers) -> None:
        width = config.encoder_hid_dim_2
        self.q = Linear(width, width, layers=layers)
        self.k = Linear(width, width, layers=layers)
        self.v = Linear(width, width, layers=layers)
        self.out = Linear(width, config.time_embed_dim, layers=layers)
        self.heads = config.pooling_heads
        self.attend = layers.attend

    def __call__(self, states: Array) -> Array:
        query = split_heads(self.q(states[:, :1]), self.heads)  # no other token's result is read
        key, value = (split_heads(part(states), self.heads) for part in (self.k, self.v))
        return self.out(merge_heads(self.attend(query, key, value)))[:, 0]


class TwoTextEmbedding(nnx.Module):
    """`two_texts`: a text embedding [B,D] and states [B,L,E] -> [B,time_embed_dim]."""

    def __init__(self, config: Kandinsky20UNetConfig, *, layers: Layers) -> None:
        width = config.time_embed_dim
        self.text_proj = Linear(config.text_embed_dim, width, layers=layers)
        self.text_norm = LayerNorm(width, layers=layers)
        self.pool = AttentionPooling(config, layers=layers)
        self.pool_norm = LayerNorm(width, layers=layers)

    def __call__(self, text_embeds: Array, states: Array) -> Array:
        return self.text_norm(self.text_proj(text_embeds)) + self.pool_norm(self.pool(states))


TOKEN_HEADS = {
    "image_proj": ImageTokens,
    "text_image_proj": TextImageTokens,
    "two_texts_proj": TwoTextTokens,
}
EMBEDDING_HEADS = {
    "image": ImageEmbedding,
    "image_hint": ImageHintEmbedding,
    "text_image": TextImageEmbedding,
    "two_texts": TwoTextEmbedding,
}
