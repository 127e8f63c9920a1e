"""The transformer that CLIP's text and image encoders share: pre-norm blocks."""

from __future__ import annotations

from collections.abc import Callable

from flax import nnx
from jax import Array

from kandinsky_core.configs import CLIPTextConfig, CLIPVisionConfig
from kandinsky_jax.layers.attention import merge_heads, split_heads
from kandinsky_jax.layers.layers import LayerNorm, Layers, Linear, gelu, quick_gelu

__all__ = ["ClipEncoder"]

_ACTIVATIONS: dict[str, Callable[[Array], Array]] = {"gelu": gelu, "quick_gelu": quick_gelu}


class ClipAttention(nnx.Module):
    """Self-attention: [B,T,H], bias to [B,N,T,T] -> [B,T,H]."""

    def __init__(self, width: int, heads: int, *, layers: Layers) -> None:
        self.q_proj = Linear(width, width, layers=layers)
        self.k_proj = Linear(width, width, layers=layers)
        self.v_proj = Linear(width, width, layers=layers)
        self.out_proj = Linear(width, width, layers=layers)
        self.heads = heads
        self.attend = layers.attend

    def __call__(self, x: Array, bias: Array | None) -> Array:
        query, key, value = (
            split_heads(project(x), self.heads)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        return self.out_proj(merge_heads(self.attend(query, key, value, bias=bias)))


class ClipMlp(nnx.Module):
    """The feed-forward part of a block: [B,T,H] -> [B,T,H]."""

    def __init__(
        self, width: int, inner: int, *, activation: Callable[[Array], Array], layers: Layers
    ) -> None:
        self.fc1 = Linear(width, inner, layers=layers)
        self.fc2 = Linear(inner, width, layers=layers)
        self.activation = activation

    def __call__(self, x: Array) -> Array:
        return self.fc2(self.activation(self.fc1(x)))


class ClipLayer(nnx.Module):
    """One block: attention and feed-forward, each added to its input."""

    def __init__(self, config: CLIPTextConfig | CLIPVisionConfig, *, layers: Layers) -> None:
        width, epsilon = config.hidden_size, config.layer_norm_eps
        self.layer_norm1 = LayerNorm(width, epsilon=epsilon, layers=layers)
        self.self_attn = ClipAttention(width, config.num_attention_heads, layers=layers)
        self.layer_norm2 = LayerNorm(width, epsilon=epsilon, layers=layers)
        self.mlp = ClipMlp(
            width,
            config.intermediate_size,
            activation=_ACTIVATIONS[config.hidden_act],
            layers=layers,
        )

    def __call__(self, x: Array, bias: Array | None) -> Array:
        x = x + self.self_attn(self.layer_norm1(x), bias)
        return x + self.mlp(self.layer_norm2(x))


class ClipEncoder(nnx.Module):
    """All blocks: [B,T,H], bias to [B,N,T,T] -> [B,T,H]."""

    def __init__(self, config: CLIPTextConfig | CLIPVisionConfig, *, layers: Layers) -> None:
        self.layers = nnx.List(
            [ClipLayer(config, layers=layers) for _ in range(config.num_hidden_layers)]
        )

    def __call__(self, x: Array, bias: Array | None = None) -> Array:
        for layer in self.layers:
            x = layer(x, bias)
        return x
