"""The prior: a causal transformer from text states to a CLIP image embedding.

The sequence is [text states; text embedding; time; noisy image embedding; learned query], and the
answer is read at the last token. Attention is causal: the text tokens never see the three that
follow, so their keys and values are the same at every step. `prepare` computes them once, and a
step runs 3 tokens instead of 81.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jax import Array
from jax.typing import DTypeLike

from kandinsky_core.configs import PriorTransformerConfig
from kandinsky_jax.layers.attention import AttentionFunction, attend, merge_heads, split_heads
from kandinsky_jax.layers.layers import (
    Identity,
    LayerNorm,
    Layers,
    Linear,
    TimestepEmbedding,
    gelu,
    timestep_sinusoid,
)
from kandinsky_jax.networks.prepared import KeyValue, PriorConditioning

__all__ = ["PriorTransformer"]

STEP_TOKENS = 3  # time, noisy image embedding, learned query
MASKED = -10000.0  # the published value; a key that is both padded and later gets it twice


class PriorAttention(nnx.Module):
    """Self-attention over the given keys and values and the tokens' own."""

    def __init__(self, width: int, heads: int, *, layers: Layers) -> None:
        self.to_q = Linear(width, width, layers=layers)
        self.to_k = Linear(width, width, layers=layers)
        self.to_v = Linear(width, width, layers=layers)
        self.to_out = nnx.List([Linear(width, width, layers=layers)])
        self.heads = heads
        self.attend = layers.attend

    def __call__(self, x: Array, bias: Array, past: KeyValue | None) -> tuple[Array, KeyValue]:
        query, key, value = (
            split_heads(project(x), self.heads) for project in (self.to_q, self.to_k, self.to_v)
        )
        if past is not None:
            key = jnp.concatenate([past.key, key], axis=1)
            value = jnp.concatenate([past.value, value], axis=1)
        out = merge_heads(self.attend(query, key, value, bias=bias))
        return self.to_out[0](out), KeyValue(key, value)


class GeluProjection(nnx.Module):
    """A linear layer and a GELU: [B,T,n_in] -> [B,T,n_out]."""

    def __init__(self, n_in: int, n_out: int, *, layers: Layers) -> None:
        self.proj = Linear(n_in, n_out, layers=layers)

    def __call__(self, x: Array) -> Array:
        return gelu(self.proj(x))


class FeedForward(nnx.Module):
    """Two linear layers with 4 C channels between them: [B,T,C] -> [B,T,C]."""

    def __init__(self, width: int, *, layers: Layers) -> None:
        # The reference has a dropout at place 1.
        self.net: nnx.List[Any] = nnx.List(
            [
                GeluProjection(width, 4 * width, layers=layers),
                Identity(),
                Linear(4 * width, width, layers=layers),
            ]
        )

    def __call__(self, x: Array) -> Array:
        for part in self.net:
            x = part(x)
        return x


class PriorBlock(nnx.Module):
    """One block: pre-norm attention, then feed-forward. The checkpoint has no norm2."""

    def __init__(self, width: int, heads: int, *, layers: Layers) -> None:
        self.norm1 = LayerNorm(width, layers=layers)
        self.attn1 = PriorAttention(width, heads, layers=layers)
        self.norm3 = LayerNorm(width, layers=layers)
        self.ff = FeedForward(width, layers=layers)

    def __call__(self, x: Array, bias: Array, past: KeyValue | None) -> tuple[Array, KeyValue]:
        attended, key_value = self.attn1(self.norm1(x), bias, past)
        x = x + attended
        return x + self.ff(self.norm3(x)), key_value


class PriorTransformer(nnx.Module):
    """The prior, diffusers' class of this name; see unCLIP (arXiv 2204.06125), section 2.2."""

    def __init__(
        self,
        config: PriorTransformerConfig,
        *,
        dtype: DTypeLike = jnp.float32,
        param_dtype: DTypeLike = jnp.float32,
        attend: AttentionFunction = attend,
    ) -> None:
        layers = Layers(dtype=dtype, param_dtype=param_dtype, attend=attend)
        width, embedding = config.inner_dim, config.embedding_dim
        self.prefix = config.num_embeddings + 1  # text states and text embedding
        self.dtype = jnp.dtype(dtype)
        self.time_embedding = TimestepEmbedding(width, width, layers=layers)
        self.proj_in = Linear(embedding, width, layers=layers)
        self.embedding_proj = Linear(embedding, width, layers=layers)
        self.encoder_hidden_states_proj = Linear(embedding, width, layers=layers)
        self.positional_embedding = layers.parameter(1, self.prefix + STEP_TOKENS, width)
        self.prd_embedding = layers.parameter(1, 1, width)
        self.transformer_blocks = nnx.List(
            [
                PriorBlock(width, config.num_attention_heads, layers=layers)
                for _ in range(config.num_layers)
            ]
        )
        self.norm_out = LayerNorm(width, layers=layers)
        self.proj_to_clip_embeddings = Linear(width, embedding, layers=layers)
        self.clip_mean = layers.parameter(1, embedding)
        self.clip_std = layers.parameter(1, embedding)

    def prepare(
        self, prompt_embeds: Array, text_encoder_hidden_states: Array, text_mask: Array
    ) -> PriorConditioning:
        """Run the text tokens through all blocks.

        Args:
            prompt_embeds: [B,D].
            text_encoder_hidden_states: last states of the text encoder, [B,77,D].
            text_mask: [B,77], true for tokens and false for padding. The first must be true, as
                it is from every CLIP tokenizer. (In the reference the first tokens of a row of
                padding alone would see the later ones.)

        Returns:
            The `prepared` of `__call__`.
        """
        states = self.encoder_hidden_states_proj(text_encoder_hidden_states)  # [B,77,C]
        x = jnp.concatenate([states, self.embedding_proj(prompt_embeds)[:, None]], axis=1)
        x = x + self.positional_embedding[:, : self.prefix].astype(x.dtype)  # [B,78,C]
        bias = self._bias(text_mask)
        text = []
        for block in self.transformer_blocks:
            x, key_value = block(x, bias[:, :, : self.prefix, : self.prefix], None)
            text.append(key_value)
        return PriorConditioning(tuple(text), bias[:, :, self.prefix :])

    def __call__(self, sample: Array, timestep: Array, prepared: PriorConditioning) -> Array:
        """Predict the clean, normalised image embedding.

        Args:
            sample: noisy image embedding, [B,D].
            timestep: [B], on the scale of the training steps.
            prepared: the result of `prepare` for the same batch.

        Returns:
            [B,D].
        """
        sinusoid = timestep_sinusoid(timestep, self.prd_embedding.shape[-1]).astype(self.dtype)
        time = self.time_embedding(sinusoid)  # [B,C]
        query = jnp.broadcast_to(self.prd_embedding[0].astype(time.dtype), time.shape)
        x = jnp.stack([time, self.proj_in(sample), query], axis=1)  # [B,3,C]
        x = x + self.positional_embedding[:, self.prefix :].astype(x.dtype)
        for block, text in zip(self.transformer_blocks, prepared.text, strict=True):
            x, _ = block(x, prepared.bias, text)
        return self.proj_to_clip_embeddings(self.norm_out(x[:, -1]))

    def post_process_latents(self, sample: Array) -> Array:
        """Bring embeddings from the loop's normalised space to CLIP's own: [B,D] -> [B,D]."""
        return sample * self.clip_std[...] + self.clip_mean[...]

    def _bias(self, mask: Array) -> Array:
        """Turn the text's mask [B,77] into a bias of all scores [B,1,81,81], float32."""
        padding = jnp.where(mask.astype(bool), 0.0, MASKED)  # [B,77]
        padding = jnp.pad(padding, ((0, 0), (0, self.prefix + STEP_TOKENS - mask.shape[1])))
        length = padding.shape[1]
        causal = jnp.triu(jnp.full((length, length), MASKED), k=1)
        return (padding[:, None, None, :] + causal[None, None]).astype(jnp.float32)
