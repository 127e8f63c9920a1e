"""What the UNet makes of an image embedding, apart from its blocks.

A model has one head that makes the tokens its attention reads and one that makes a vector added
to the time embedding. Which two, the config says; another kind of model adds a class here and
an entry in the tables at the end.
"""

from __future__ import annotations

from flax import nnx
from jax import Array

from backends.jax.layers import LayerNorm, Layers, Linear
from kandinsky_core.configs import UNet2DConditionConfig

__all__ = ["EMBEDDING_HEADS", "TOKEN_HEADS"]

IMAGE_TOKENS = 32  # of Kandinsky 2.2; the config does not say


class ImageTokens(nnx.Module):
    """`image_proj`: [B,D] -> [B,32,cross_attention_dim]."""

    def __init__(self, config: UNet2DConditionConfig, *, layers: Layers) -> None:
        width = config.cross_attention_dim
        self.image_embeds = Linear(config.encoder_hid_dim, IMAGE_TOKENS * width, layers=layers)
        self.norm = LayerNorm(width, layers=layers)

    def __call__(self, image_embeds: Array) -> Array:
        tokens = self.image_embeds(image_embeds).reshape(image_embeds.shape[0], IMAGE_TOKENS, -1)
        return self.norm(tokens)


class ImageEmbedding(nnx.Module):
    """`image`: [B,D] -> [B,time_embed_dim]."""

    def __init__(self, config: UNet2DConditionConfig, *, layers: Layers) -> None:
        self.image_proj = Linear(config.encoder_hid_dim, config.time_embed_dim, layers=layers)
        self.image_norm = LayerNorm(config.time_embed_dim, layers=layers)

    def __call__(self, image_embeds: Array) -> Array:
        return self.image_norm(self.image_proj(image_embeds))


TOKEN_HEADS = {"image_proj": ImageTokens}
EMBEDDING_HEADS = {"image": ImageEmbedding}
