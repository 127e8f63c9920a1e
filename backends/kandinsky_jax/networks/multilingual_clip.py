"""The multilingual text encoder of Kandinsky 2.1: XLM-RoBERTa, a mean over tokens, a projection."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array
from jax.typing import DTypeLike

from kandinsky_core.configs import MultilingualCLIPConfig
from kandinsky_jax.layers.attention import AttentionFunction, attend, heads_of_product, merge_heads
from kandinsky_jax.layers.layers import Embedding, LayerNorm, Layers, Linear, gelu

__all__ = ["MultilingualCLIP"]

LOWEST = float(np.finfo(np.float32).min)


class Embeddings(nnx.Module):
    """The normalised sum of token, position and type embeddings: ids [B,L] -> [B,L,H]."""

    def __init__(self, config: MultilingualCLIPConfig, *, layers: Layers) -> None:
        width = config.hidden_size
        self.word_embeddings = Embedding(config.vocab_size, width, layers=layers)
        self.position_embeddings = Embedding(config.max_position_embeddings, width, layers=layers)
        self.token_type_embeddings = Embedding(config.type_vocab_size, width, layers=layers)
        self.LayerNorm = LayerNorm(width, epsilon=config.layer_norm_eps, layers=layers)
        self.padding = config.pad_token_id

    def __call__(self, input_ids: Array) -> Array:
        # Padding has its own id as its position; tokens count on from there.
        tokens = (input_ids != self.padding).astype(jnp.int32)
        positions = jnp.cumsum(tokens, axis=1) * tokens + self.padding
        types = jnp.zeros_like(input_ids)
        states = self.word_embeddings(input_ids) + self.token_type_embeddings(types)
        return self.LayerNorm(states + self.position_embeddings(positions))


class SelfAttention(nnx.Module):
    """Attention without its output projection: [B,L,H], bias to [B,N,L,L] -> [B,L,H]."""

    def __init__(self, width: int, heads: int, *, layers: Layers) -> None:
        self.query = Linear(width, width, layers=layers)
        self.key = Linear(width, width, layers=layers)
        self.value = Linear(width, width, layers=layers)
        self.heads = heads
        self.attend = layers.attend

    def __call__(self, x: Array, bias: Array) -> Array:
        query, key, value = (
            heads_of_product(project(x), self.heads)
            for project in (self.query, self.key, self.value)
        )
        return merge_heads(self.attend(query, key, value, bias=bias))


class Output(nnx.Module):
    """Ends a sublayer with its input added: [B,L,n_in], input [B,L,H] -> normalised [B,L,H]."""

    def __init__(self, n_in: int, width: int, epsilon: float, *, layers: Layers) -> None:
        self.dense = Linear(n_in, width, layers=layers)
        self.LayerNorm = LayerNorm(width, epsilon=epsilon, layers=layers)

    def __call__(self, x: Array, residual: Array) -> Array:
        return self.LayerNorm(self.dense(x) + residual)


class Attention(nnx.Module):
    """A block's first sublayer: attention and its output."""

    def __init__(self, config: MultilingualCLIPConfig, *, layers: Layers) -> None:
        width = config.hidden_size
        # `self` is the checkpoint's name for it
        self.self = SelfAttention(width, config.num_attention_heads, layers=layers)
        self.output = Output(width, width, config.layer_norm_eps, layers=layers)

    def __call__(self, x: Array, bias: Array) -> Array:
        attention: SelfAttention = self.self
        return self.output(attention(x, bias), x)


class Intermediate(nnx.Module):
    """The start of a block's second sublayer: [B,L,H] -> [B,L,inner]."""

    def __init__(self, config: MultilingualCLIPConfig, *, layers: Layers) -> None:
        self.dense = Linear(config.hidden_size, config.intermediate_size, layers=layers)

    def __call__(self, x: Array) -> Array:
        return gelu(self.dense(x))


class Layer(nnx.Module):
    """One block: each sublayer adds to its input and normalises the sum."""

    def __init__(self, config: MultilingualCLIPConfig, *, layers: Layers) -> None:
        self.attention = Attention(config, layers=layers)
        self.intermediate = Intermediate(config, layers=layers)
        self.output = Output(
            config.intermediate_size, config.hidden_size, config.layer_norm_eps, layers=layers
        )

    def __call__(self, x: Array, bias: Array) -> Array:
        x = self.attention(x, bias)
        return self.output(self.intermediate(x), x)


class Encoder(nnx.Module):
    """All blocks in a row."""

    def __init__(self, config: MultilingualCLIPConfig, *, layers: Layers) -> None:
        self.layer = nnx.List(
            [Layer(config, layers=layers) for _ in range(config.num_hidden_layers)]
        )

    def __call__(self, x: Array, bias: Array) -> Array:
        for layer in self.layer:
            x = layer(x, bias)
        return x


class XLMRoberta(nnx.Module):
    """The text model without mean and projection: ids [B,L], mask [B,L] -> [B,L,H]."""

    def __init__(self, config: MultilingualCLIPConfig, *, layers: Layers) -> None:
        self.embeddings = Embeddings(config, layers=layers)
        self.encoder = Encoder(config, layers=layers)

    def __call__(self, input_ids: Array, mask: Array) -> Array:
        bias = jnp.where(mask, 0.0, LOWEST)[:, None, None]  # [B,1,1,L]
        return self.encoder(self.embeddings(input_ids), bias)


class MultilingualCLIP(nnx.Module):
    """The text encoder, diffusers' class of this name; padding has states, but no token sees it."""

    def __init__(
        self,
        config: MultilingualCLIPConfig,
        *,
        dtype: DTypeLike = jnp.float32,
        param_dtype: DTypeLike = jnp.float32,
        attend: AttentionFunction = attend,
    ) -> None:
        layers = Layers(dtype=dtype, param_dtype=param_dtype, attend=attend)
        self.transformer = XLMRoberta(config, layers=layers)
        self.LinearTransformation = Linear(config.hidden_size, config.numDims, layers=layers)

    def __call__(self, input_ids: Array, attention_mask: Array) -> tuple[Array, Array]:
        """Encode texts.

        Args:
            input_ids: [B,L], integers.
            attention_mask: [B,L], true on tokens.

        Returns:
            text_embeds [B,numDims], not of unit length, and last_hidden_state [B,L,H].
        """
        mask = attention_mask.astype(bool)
        states = self.transformer(input_ids, mask)
        kept = states.astype(jnp.float32) * mask[..., None]
        mean = kept.sum(axis=1) / mask.sum(axis=1, keepdims=True)  # [B,H]
        return self.LinearTransformation(mean.astype(states.dtype)), states
