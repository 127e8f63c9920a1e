"""The IP-Adapter of Kandinsky 3: image tokens, to which the attentions to the text attend too.

Source: `UNetKandi3IpAdapter` in ai-forever/kandinsky3-diffusers.
"""

from __future__ import annotations

from typing import NamedTuple

from flax import nnx
from jax import Array

from kandinsky_core.configs import Kandinsky3UNetConfig
from kandinsky_jax.layers.attention import merge_heads, split_heads
from kandinsky_jax.layers.layers import LayerNorm, Layers, Linear
from kandinsky_jax.networks.prepared import KeyValue, TextAndImageTokens

__all__ = ["ImageBranch", "ImageProjection", "TextAndImage"]


class TextAndImage(NamedTuple):
    """What an attention reads where there is a picture beside the text."""

    text: Array  # [B,L,D]
    image: Array  # image tokens, [B,N,D]
    weight: Array  # of the picture, [B]


class ImageProjection(nnx.Module):
    """Makes image tokens: [B,image_embed_dim] -> [B,num_image_tokens,cross_attention_dim]."""

    def __init__(self, config: Kandinsky3UNetConfig, *, layers: Layers) -> None:
        width = config.cross_attention_dim
        self.tokens = config.num_image_tokens
        self.image_embeds = Linear(config.image_embed_dim, self.tokens * width, layers=layers)
        self.norm = LayerNorm(width, layers=layers)

    def __call__(self, embeds: Array) -> Array:
        return self.norm(self.image_embeds(embeds).reshape(embeds.shape[0], self.tokens, -1))


class ImageBranch(nnx.Module):
    """Lets an attention to the text attend to image tokens too, with the same queries.

    Its output is multiplied by the weight, the bias included, and added to that of the text. So a
    weight of 0 leaves the text alone.
    """

    def __init__(self, width: int, n_context: int, heads: int, *, layers: Layers) -> None:
        self.to_k = Linear(n_context, width, layers=layers)
        self.to_v = Linear(n_context, width, layers=layers)
        self.to_out = Linear(width, width, layers=layers)
        self.heads = heads
        self.attend = layers.attend

    def prepare(self, text: KeyValue, context: TextAndImage) -> TextAndImageTokens:
        """Make keys and values of the image tokens, beside those of the text."""
        image = KeyValue(
            split_heads(self.to_k(context.image), self.heads),
            split_heads(self.to_v(context.image), self.heads),
        )
        return TextAndImageTokens(text, image, context.weight)

    def __call__(self, query: Array, tokens: TextAndImageTokens) -> Array:
        """Attend to the image tokens: [B,Q,heads,D] -> [B,Q,width]."""
        out = self.to_out(merge_heads(self.attend(query, *tokens.image)))
        return out * tokens.weight[:, None, None].astype(out.dtype)
