"""The text encoder of Kandinsky 3, which is Flan-UL2's encoder and belongs to the T5 family.

Its 8.7 billion parameters need not be on the device at once. Each block is a module of its own, and
all blocks take the same arguments: `t5_streaming` loads, applies and drops them in turn.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array
from jax.typing import DTypeLike

from kandinsky_backend_kit.t5_positions import relative_buckets
from kandinsky_core.configs import T5Config
from kandinsky_jax.layers.attention import AttentionFunction, attend, heads_of_product, merge_heads
from kandinsky_jax.layers.layers import Embedding, Layers, Linear, gelu_tanh, silu

__all__ = ["RMSNorm", "T5Block", "T5EncoderModel", "score_bias", "t5_block"]

LOWEST = float(np.finfo(np.float32).min)
_ACTIVATIONS = {"gated-gelu": gelu_tanh, "gated-silu": silu}


class RMSNorm(nnx.Module):
    """Scales the last axis to a mean square of 1: [...,H] -> [...,H], float32."""

    def __init__(self, width: int, *, epsilon: float, layers: Layers) -> None:
        self.scale = layers.parameter(width)
        self.epsilon = epsilon

    def __call__(self, x: Array) -> Array:
        wide = x.astype(jnp.float32)
        power = jnp.square(wide).mean(axis=-1, keepdims=True)
        return wide * jax.lax.rsqrt(power + self.epsilon) * self.scale[...]


class Attention(nnx.Module):
    """Self-attention with unscaled scores: [B,L,H], bias to [B,N,L,L] -> [B,L,H]."""

    def __init__(self, config: T5Config, *, layers: Layers, has_table: bool) -> None:
        width, inner = config.d_model, config.inner_dim
        self.q = Linear(width, inner, bias=False, layers=layers)
        self.k = Linear(width, inner, bias=False, layers=layers)
        self.v = Linear(width, inner, bias=False, layers=layers)
        self.o = Linear(inner, width, bias=False, layers=layers)
        self.relative_attention_bias = (
            Embedding(config.relative_attention_num_buckets, config.num_heads, layers=layers)
            if has_table
            else None
        )
        self.heads = config.num_heads
        self.attend = layers.attend

    def __call__(self, x: Array, bias: Array) -> Array:
        query, key, value = (
            heads_of_product(project(x), self.heads) for project in (self.q, self.k, self.v)
        )
        return self.o(merge_heads(self.attend(query, key, value, bias=bias, scale=1.0)))


class SelfAttentionLayer(nnx.Module):
    """A block's first sublayer: norm, attention, and the sum with its input."""

    def __init__(self, config: T5Config, *, layers: Layers, has_table: bool) -> None:
        self.SelfAttention = Attention(config, layers=layers, has_table=has_table)
        self.layer_norm = RMSNorm(config.d_model, epsilon=config.layer_norm_epsilon, layers=layers)

    def __call__(self, x: Array, bias: Array) -> Array:
        return x + self.SelfAttention(self.layer_norm(x), bias)


class GatedLinear(nnx.Module):
    """[B,L,H] -> [B,L,H] through `d_ff` channels, each the product of an activation and a gate."""

    def __init__(self, config: T5Config, *, layers: Layers) -> None:
        self.wi_0 = Linear(config.d_model, config.d_ff, bias=False, layers=layers)
        self.wi_1 = Linear(config.d_model, config.d_ff, bias=False, layers=layers)
        self.wo = Linear(config.d_ff, config.d_model, bias=False, layers=layers)
        self.activation = _ACTIVATIONS[config.feed_forward_proj]

    def __call__(self, x: Array) -> Array:
        return self.wo(self.activation(self.wi_0(x)) * self.wi_1(x))


class FeedForwardLayer(nnx.Module):
    """A block's second sublayer: norm, gated linear layers, and the sum with its input."""

    def __init__(self, config: T5Config, *, layers: Layers) -> None:
        self.DenseReluDense = GatedLinear(config, layers=layers)
        self.layer_norm = RMSNorm(config.d_model, epsilon=config.layer_norm_epsilon, layers=layers)

    def __call__(self, x: Array) -> Array:
        return x + self.DenseReluDense(self.layer_norm(x))


class T5Block(nnx.Module):
    """One block: [B,L,H], bias to [B,N,L,L] -> [B,L,H].

    The sum that runs through all blocks is float32, whatever dtype they compute in. It grows to
    where bfloat16 resolves only whole numbers; at the length of a text float32 costs nothing.
    """

    def __init__(self, config: T5Config, *, layers: Layers, has_table: bool = False) -> None:
        self.layer: nnx.List[Any] = nnx.List(
            [
                SelfAttentionLayer(config, layers=layers, has_table=has_table),
                FeedForwardLayer(config, layers=layers),
            ]
        )

    def __call__(self, x: Array, bias: Array) -> Array:
        for index, layer in enumerate(self.layer):
            x = layer(x, bias) if index == 0 else layer(x)
        return x


def t5_block(config: T5Config, *, dtype: DTypeLike, param_dtype: DTypeLike) -> T5Block:
    """Return a block by itself."""
    return T5Block(config, layers=Layers(dtype=dtype, param_dtype=param_dtype, attend=attend))


class Stack(nnx.Module):
    """All blocks and the last norm."""

    def __init__(self, config: T5Config, *, layers: Layers) -> None:
        self.block = nnx.List(
            [
                T5Block(config, layers=layers, has_table=index == 0)
                for index in range(config.num_layers)
            ]
        )
        self.final_layer_norm = RMSNorm(
            config.d_model, epsilon=config.layer_norm_epsilon, layers=layers
        )

    def __call__(self, x: Array, bias: Array) -> Array:
        for block in self.block:
            x = block(x, bias)
        return self.final_layer_norm(x)


class T5EncoderModel(nnx.Module):
    """T5's encoder: transformers' class of this name, in the gated forms of T5 1.1 and Flan-UL2.

    Padding has states, but no token sees it. In float16 the sums overflow: use float32, or
    bfloat16, which the model was trained in.
    """

    def __init__(
        self,
        config: T5Config,
        *,
        dtype: DTypeLike = jnp.float32,
        param_dtype: DTypeLike = jnp.float32,
        attend: AttentionFunction = attend,
    ) -> None:
        layers = Layers(dtype=dtype, param_dtype=param_dtype, attend=attend)
        self.shared = Embedding(config.vocab_size, config.d_model, layers=layers)
        self.encoder = Stack(config, layers=layers)
        self.max_distance = config.relative_attention_max_distance

    def __call__(self, input_ids: Array, attention_mask: Array) -> Array:
        """Encode texts.

        Args:
            input_ids: [B,L], integers.
            attention_mask: [B,L], true on tokens. In a row without a token each position sees all.

        Returns:
            last_hidden_state, [B,L,H], float32.
        """
        table = self.encoder.block[0].layer[0].SelfAttention.relative_attention_bias.embedding[...]
        bias = score_bias(table, attention_mask, self.max_distance)
        return self.encoder(self.shared(input_ids).astype(jnp.float32), bias)


def score_bias(table: Array, attention_mask: Array, max_distance: int) -> Array:
    """Return the bias that all blocks add to their scores.

    Args:
        table: a number for each bucket of distances and each head, [buckets,N].
        attention_mask: [B,L], true on tokens.
        max_distance: all distances from this one on share a bucket.

    Returns:
        [B,N,L,L], float32; finite, so that scores of padding alone make equal weights.
    """
    buckets = relative_buckets(attention_mask.shape[1], table.shape[0], max_distance)
    by_distance = table.astype(jnp.float32)[buckets].transpose(2, 0, 1)[None]  # [1,N,L,L]
    hidden = jnp.where(attention_mask.astype(bool), 0.0, LOWEST)[:, None, None]  # [B,1,1,L]
    return by_distance + hidden
