"""The IP-Adapter of Kandinsky 3: image tokens, to which the attentions to the text attend too.

mindone has no such network. Image tokens stand behind the tokens of the text, so that mindone's
blocks hand them on, and their weight stands in the bias, as they are never masked.
Source: `UNetKandi3IpAdapter` in ai-forever/kandinsky3-diffusers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import mindspore as ms
from mindspore import mint, nn

from kandinsky_mindspore.runtime import mindone_module

__all__ = ["add_image_branches", "text_alone", "with_image"]


class ImageProjection(nn.Cell):  # type: ignore[misc]
    """Makes image tokens: [B,image_embed_dim] -> [B,tokens,width]."""

    def __init__(self, tokens: int, embedding: int, width: int) -> None:
        super().__init__()
        self.tokens = tokens
        self.image_embeds = mint.nn.Linear(embedding, tokens * width)
        self.norm = mint.nn.LayerNorm(width)

    def construct(self, embeds: Any) -> Any:
        return self.norm(self.image_embeds(embeds).reshape(embeds.shape[0], self.tokens, -1))


class ImageBranch(nn.Cell):  # type: ignore[misc]
    """Attends to image tokens [B,N,context] with queries [B,Q,width] -> [B,Q,width]."""

    def __init__(self, width: int, context: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_k = mint.nn.Linear(context, width)
        self.to_v = mint.nn.Linear(context, width)
        self.to_out = mint.nn.Linear(width, width)

    def construct(self, query: Any, image: Any) -> Any:
        query, key, value = (
            self._split(query),
            self._split(self.to_k(image)),
            self._split(self.to_v(image)),
        )
        scores = mint.matmul(query, key.swapaxes(2, 3)).astype(ms.float32)
        scores = scores * (query.shape[-1] ** -0.5)
        shares = mint.nn.functional.softmax(scores, dim=-1).astype(value.dtype)
        out = mint.matmul(shares, value).swapaxes(1, 2)  # [B,Q,heads,D]
        return self.to_out(out.reshape(out.shape[0], out.shape[1], -1))

    def _split(self, x: Any) -> Any:
        """[B,T,heads*D] -> [B,heads,T,D]."""
        return x.reshape(x.shape[0], x.shape[1], self.heads, -1).swapaxes(1, 2)


def add_image_branches(network: Any, tokens: int, embedding: int, width: int) -> None:
    """Give mindone's UNet the layers of an IP-Adapter; their parameters have no values yet.

    Args:
        network: The UNet.
        tokens: Number of image tokens.
        embedding: Width of the image embedding.
        width: Width of the tokens of text and image.
    """
    network.encoder_hid_proj.image_projection = ImageProjection(tokens, embedding, width)
    kind = _attention_class(mindone_module("mindone.diffusers.models.attention_processor"))
    for block in (*network.down_blocks, *network.up_blocks):
        if block.context_dim is None:
            continue
        for layer in list(block.attentions)[1:]:  # the first is of pixels to each other
            queries, heads = layer.attention.inner_dim, layer.attention.heads
            layer.attention = kind(
                queries,
                width,
                heads=heads,
                dim_head=queries // heads,
                out_dim=queries,
                out_bias=False,
            )
            layer.attention.ip_adapter = ImageBranch(queries, width, heads)
            layer.attention.image_tokens = tokens


def _attention_class(mindone: Any) -> Any:
    """Return mindone's attention, extended; mindone is imported only where it is needed."""

    class ImageAttention(mindone.Attention):  # type: ignore[misc]
        """Attends to the text, and with the same queries to the image tokens behind it.

        The output for the image tokens is multiplied by their weight, the bias included.
        """

        def construct(
            self,
            hidden_states: Any,
            encoder_hidden_states: Any = None,
            attention_mask: Any = None,
        ) -> Any:
            end = self.image_tokens
            text, image = encoder_hidden_states[:, :-end], encoder_hidden_states[:, -end:]
            weight = attention_mask[:, :, -1:]  # [B,1,1]
            out = super().construct(hidden_states, text, attention_mask[:, :, :-end])
            return out + weight * self.ip_adapter(self.to_q(hidden_states), image)

    return ImageAttention


def with_image(
    cell: Any, context: Any, bias: Any, conditioning: Mapping[str, Any]
) -> tuple[Any, Any]:
    """Put image tokens behind the text, and their weight behind the bias.

    Args:
        cell: The UNet; one without an IP-Adapter changes nothing.
        context: The projected text, [B,L,D].
        bias: [B,1,L].
        conditioning: Tensors by name; without `image_embeds` the weight is 0.

    Returns:
        [B,L+N,D] and [B,1,L+N].
    """
    projection = getattr(cell.encoder_hid_proj, "image_projection", None)
    if projection is None:
        return context, bias
    shape = (context.shape[0], projection.tokens, context.shape[2])
    if "image_embeds" in conditioning:
        image = projection(conditioning["image_embeds"])
        weight = conditioning["image_weight"].astype(bias.dtype).reshape(-1, 1, 1)
        weight = weight.broadcast_to((shape[0], 1, shape[1]))
    else:
        image = mint.zeros(shape, dtype=context.dtype)
        weight = mint.zeros((shape[0], 1, shape[1]), dtype=bias.dtype)
    return mint.cat([context, image], dim=1), mint.cat([bias, weight], dim=2)


def text_alone(cell: Any, prepared: Mapping[str, Any]) -> dict[str, Any]:
    """Return the text without the image tokens that `with_image` put behind it.

    Args:
        cell: The UNet.
        prepared: Its `context` [B,L+N,D] and `bias` [B,1,L+N].
    """
    projection = getattr(cell.encoder_hid_proj, "image_projection", None)
    end = None if projection is None else -projection.tokens
    return {"context": prepared["context"][:, :end], "bias": prepared["bias"][:, :, :end]}
