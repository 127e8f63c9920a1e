"""CLIP's text encoder with projection (OpenAI ViT-L/14, LAION ViT-bigG/14)."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array
from jax.typing import DTypeLike

from kandinsky_core.configs import CLIPTextConfig
from kandinsky_jax.layers.attention import AttentionFunction, attend
from kandinsky_jax.layers.layers import Embedding, LayerNorm, Layers, Linear
from kandinsky_jax.networks.clip_layers import ClipEncoder

__all__ = ["CLIPTextModelWithProjection"]

LOWEST = float(np.finfo(np.float32).min)

# Files written before transformers 4.31 say 2, which is not the end of a text in CLIP's vocabulary.
# With them the end of the text is the highest id.
_LEGACY_EOS_TOKEN_ID = 2


class TextEmbeddings(nnx.Module):
    """The sum of token and position embeddings: ids [B,L] -> [B,L,H]."""

    def __init__(self, config: CLIPTextConfig, *, layers: Layers) -> None:
        self.token_embedding = Embedding(config.vocab_size, config.hidden_size, layers=layers)
        self.position_embedding = Embedding(
            config.max_position_embeddings, config.hidden_size, layers=layers
        )

    def __call__(self, input_ids: Array) -> Array:
        positions = jnp.arange(input_ids.shape[1])
        return self.token_embedding(input_ids) + self.position_embedding(positions)


class TextTransformer(nnx.Module):
    """The text model without projection: ids [B,L] -> hidden states after the last norm [B,L,H]."""

    def __init__(self, config: CLIPTextConfig, *, layers: Layers) -> None:
        self.embeddings = TextEmbeddings(config, layers=layers)
        self.encoder = ClipEncoder(config, layers=layers)
        self.final_layer_norm = LayerNorm(
            config.hidden_size, epsilon=config.layer_norm_eps, layers=layers
        )

    def __call__(self, input_ids: Array) -> Array:
        length = input_ids.shape[1]
        later = jnp.triu(jnp.ones((length, length), bool), k=1)
        bias = jnp.where(later, LOWEST, 0.0)[None, None]  # [1,1,L,L]
        return self.final_layer_norm(self.encoder(self.embeddings(input_ids), bias))


class CLIPTextModelWithProjection(nnx.Module):
    """CLIP's causal text encoder, transformers' class of this name; padding is not masked."""

    def __init__(
        self,
        config: CLIPTextConfig,
        *,
        dtype: DTypeLike = jnp.float32,
        param_dtype: DTypeLike = jnp.float32,
        attend: AttentionFunction = attend,
    ) -> None:
        layers = Layers(dtype=dtype, param_dtype=param_dtype, attend=attend)
        self.text_model = TextTransformer(config, layers=layers)
        self.text_projection = Linear(
            config.hidden_size, config.projection_dim, bias=False, layers=layers
        )
        legacy = config.eos_token_id == _LEGACY_EOS_TOKEN_ID
        self.end_of_text = None if legacy else config.eos_token_id

    def __call__(self, input_ids: Array) -> tuple[Array, Array]:
        """Encode texts.

        Args:
            input_ids: [B,L], integers, L at most `max_position_embeddings`.

        Returns:
            text_embeds [B,projection_dim], not of unit length, and last_hidden_state [B,L,H].
        """
        states = self.text_model(input_ids)
        ends = input_ids if self.end_of_text is None else input_ids == self.end_of_text
        first = jnp.argmax(ends, axis=1)  # [B]; argmax takes the first of equal maxima
        pooled = jnp.take_along_axis(states, first[:, None, None], axis=1)[:, 0]  # [B,H]
        return self.text_projection(pooled), states
