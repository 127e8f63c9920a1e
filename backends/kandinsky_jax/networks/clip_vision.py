"""CLIP's image encoder with projection (OpenAI ViT-L/14, LAION ViT-bigG/14)."""

from __future__ import annotations

import jax.numpy as jnp
from flax import nnx
from jax import Array
from jax.typing import DTypeLike

from kandinsky_core.configs import CLIPVisionConfig
from kandinsky_jax.layers.attention import AttentionFunction, attend
from kandinsky_jax.layers.layers import Conv, Embedding, LayerNorm, Layers, Linear
from kandinsky_jax.networks.clip_layers import ClipEncoder

__all__ = ["CLIPVisionModelWithProjection"]


class VisionEmbeddings(nnx.Module):
    """A class token and a token for each patch, plus positions: [B,S,S,3] -> [B,1+P,H]."""

    def __init__(self, config: CLIPVisionConfig, *, layers: Layers) -> None:
        width = config.hidden_size
        patches = (config.image_size // config.patch_size) ** 2
        self.class_embedding = layers.parameter(width)
        self.patch_embedding = Conv(
            config.num_channels,
            width,
            kernel=config.patch_size,
            stride=config.patch_size,
            bias=False,
            layers=layers,
        )
        self.position_embedding = Embedding(1 + patches, width, layers=layers)

    def __call__(self, pixels: Array) -> Array:
        patches = self.patch_embedding(pixels)  # [B,h,w,H]
        batch, _, _, width = patches.shape
        patches = patches.reshape(batch, -1, width)  # [B,P,H], row by row
        first = jnp.broadcast_to(self.class_embedding[...], (batch, 1, width))
        tokens = jnp.concatenate([first.astype(patches.dtype), patches], axis=1)
        return tokens + self.position_embedding(jnp.arange(tokens.shape[1]))


class VisionTransformer(nnx.Module):
    """The vision model without projection: [B,S,S,3] -> the normalised class token [B,H]."""

    def __init__(self, config: CLIPVisionConfig, *, layers: Layers) -> None:
        width, epsilon = config.hidden_size, config.layer_norm_eps
        self.embeddings = VisionEmbeddings(config, layers=layers)
        self.pre_layrnorm = LayerNorm(
            width, epsilon=epsilon, layers=layers
        )  # spelt so in the checkpoint
        self.encoder = ClipEncoder(config, layers=layers)
        self.post_layernorm = LayerNorm(width, epsilon=epsilon, layers=layers)

    def __call__(self, pixels: Array) -> Array:
        tokens = self.encoder(self.pre_layrnorm(self.embeddings(pixels)))
        return self.post_layernorm(tokens[:, 0])


class CLIPVisionModelWithProjection(nnx.Module):
    """CLIP's image encoder, transformers' class of this name."""

    def __init__(
        self,
        config: CLIPVisionConfig,
        *,
        dtype: DTypeLike = jnp.float32,
        param_dtype: DTypeLike = jnp.float32,
        attend: AttentionFunction = attend,
    ) -> None:
        layers = Layers(dtype=dtype, param_dtype=param_dtype, attend=attend)
        self.vision_model = VisionTransformer(config, layers=layers)
        self.visual_projection = Linear(
            config.hidden_size, config.projection_dim, bias=False, layers=layers
        )

    def __call__(self, pixel_values: Array) -> Array:
        """Encode images.

        Args:
            pixel_values: [B,image_size,image_size,3], channels-last, normalised as CLIP's
                preprocessing does (all zeros is the mean colour).

        Returns:
            image_embeds [B,projection_dim], not of unit length.
        """
        return self.visual_projection(self.vision_model(pixel_values))
