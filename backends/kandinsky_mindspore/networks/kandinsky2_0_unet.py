"""The UNet of Kandinsky 2.0: mindone's UNet with two heads of our own, which it lacks.

mindone's class reads ready tokens, and a ready vector beside the time embedding as the embedding of
a class. The heads make both once for all steps.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from mindspore import mint, nn

from kandinsky_core.configs import Kandinsky20UNetConfig

__all__ = ["build_kandinsky20_unet", "kandinsky20_form", "prepare_texts"]

_EPSILON = 1e-5


class TwoTextTokens(nn.Cell):  # type: ignore[misc]
    """States [B,L,D] and [B,L,E] -> tokens [B,2L,cross_attention_dim]."""

    def __init__(self, config: Kandinsky20UNetConfig) -> None:
        super().__init__()
        width = config.cross_attention_dim
        self.text_proj = mint.nn.Linear(config.encoder_hid_dim, width)
        self.text_proj_2 = mint.nn.Linear(config.encoder_hid_dim_2, width)
        self.norm = mint.nn.LayerNorm((width,), eps=_EPSILON)

    def construct(self, states: Any, others: Any) -> Any:
        tokens = [self.text_proj(states), self.text_proj_2(others)]
        return self.norm(mint.cat(tokens, dim=1))


class AttentionPooling(nn.Cell):  # type: ignore[misc]
    """What the first token sees of all tokens: [B,L,E] -> [B,n_out]."""

    def __init__(self, config: Kandinsky20UNetConfig) -> None:
        super().__init__()
        width = config.encoder_hid_dim_2
        self.q = mint.nn.Linear(width, width)
        self.k = mint.nn.Linear(width, width)
        self.v = mint.nn.Linear(width, width)
        self.out = mint.nn.Linear(width, config.time_embed_dim)
        self.heads = config.pooling_heads
        self.scale = (width // config.pooling_heads) ** -0.5

    def construct(self, states: Any) -> Any:
        query = self._split(self.q(states[:, :1]))  # [B,N,1,D]
        key, value = self._split(self.k(states)), self._split(self.v(states))
        scores = mint.matmul(query, key.swapaxes(2, 3)) * self.scale
        weights = mint.nn.functional.softmax(scores.float(), dim=-1).astype(value.dtype)
        return self.out(mint.matmul(weights, value).reshape(len(states), -1))

    def _split(self, x: Any) -> Any:
        return x.reshape(*x.shape[:2], self.heads, -1).swapaxes(1, 2)


class TwoTextEmbedding(nn.Cell):  # type: ignore[misc]
    """A text embedding [B,D] and states [B,L,E] -> [B,time_embed_dim]."""

    def __init__(self, config: Kandinsky20UNetConfig) -> None:
        super().__init__()
        width = config.time_embed_dim
        self.text_proj = mint.nn.Linear(config.text_embed_dim, width)
        self.text_norm = mint.nn.LayerNorm((width,), eps=_EPSILON)
        self.pool = AttentionPooling(config)
        self.pool_norm = mint.nn.LayerNorm((width,), eps=_EPSILON)

    def construct(self, text_embeds: Any, states: Any) -> Any:
        pooled = self.pool_norm(self.pool(states))
        return self.text_norm(self.text_proj(text_embeds)) + pooled


def build_kandinsky20_unet(network_class: Any, config: Kandinsky20UNetConfig) -> Any:
    """Build mindone's UNet for a config, and give it the heads."""
    own = {field.name for field in dataclasses.fields(Kandinsky20UNetConfig)}
    of_heads = {"text_embed_dim", "encoder_hid_dim", "encoder_hid_dim_2"}
    fields = {**config.FIXED, **{name: getattr(config, name) for name in own - of_heads}}
    fields |= {"addition_embed_type": None, "encoder_hid_dim_type": None}
    network = network_class(**{**fields, "class_embed_type": "identity"})
    network.encoder_hid_proj = TwoTextTokens(config)
    network.add_embedding = TwoTextEmbedding(config)
    return network


def prepare_texts(cell: Any, conditioning: Mapping[str, Any]) -> dict[str, Any]:
    """Compute all that depends on the texts alone, once for all steps.

    Args:
        cell: The UNet.
        conditioning: Tensors by name; see `kandinsky_core.seam.networks.Denoiser.begin`.

    Returns:
        The `tokens` [B,2L,D], the `embedding` [B,T] that is added to the time embedding, and
        `image_latents` if they were given.
    """
    others = conditioning["text_encoder_hidden_states_2"]
    prepared = {
        "tokens": cell.encoder_hid_proj(conditioning["text_encoder_hidden_states"], others),
        "embedding": cell.add_embedding(conditioning["text_embeds"], others),
    }
    if "image_latents" in conditioning:
        prepared["image_latents"] = conditioning["image_latents"]
    return prepared


def kandinsky20_form(
    cell: Any, config: Kandinsky20UNetConfig
) -> tuple[tuple[str, ...], Callable[..., Any]]:
    """Return the names of `prepare_texts`' results, and the UNet as a function of them in order."""

    def plain(sample: Any, timestep: Any, tokens: Any, embedding: Any) -> Any:
        return cell(sample, timestep, tokens, class_labels=embedding)[0]

    def inpainting(
        sample: Any, timestep: Any, tokens: Any, embedding: Any, image_latents: Any
    ) -> Any:
        return plain(mint.cat([sample, image_latents], dim=1), timestep, tokens, embedding)

    names = ("tokens", "embedding")
    return ((*names, "image_latents"), inpainting) if config.image_latents else (names, plain)
