"""Chooses how the networks of mindone's diffusers compute attention.

An NPU in half precision uses its fused kernel; everything else uses two products and a softmax,
the 2.x UNets on a CPU with channels in front.
mindone's own choice is wrong. Its 2.x UNets never reach the kernel. Its prior fails wherever the
kernel is not used, and waits for the device in each layer where it is used. Networks in float32
hand the kernel float16.
"""

from __future__ import annotations

from typing import Any

import mindspore as ms
from mindspore import mint, ops

from kandinsky_mindspore.runtime import mindone_module

__all__ = [
    "ChannelsFirstAttention",
    "FusedAddedKVAttention",
    "FusedMaskedAttention",
    "choose_attention",
    "fused_attention_suits",
]

# Widths of a head that the NPU's kernel takes.
_WIDTH_MULTIPLE, _MAX_WIDTH = 16, 512


def choose_attention(network: Any, device: str, dtype: str) -> None:
    """Choose how each attention of a network is computed; a network without any is not changed."""
    mindone = mindone_module("mindone.diffusers.models.attention_processor")
    for _, cell in network.cells_and_names():
        if not isinstance(cell, mindone.Attention):
            continue
        cell.set_flash_attention_force_cast_dtype(None)
        fused = fused_attention_suits(device, dtype, cell.inner_dim // cell.heads)
        if cell.add_k_proj is not None:  # in a 2.x UNet
            processor = FusedAddedKVAttention() if fused else _added_kv_attention(cell, device)
        elif cell.group_norm is None:  # in the prior and in Kandinsky 3's UNet
            processor = FusedMaskedAttention() if fused else mindone.AttnProcessor()
        else:  # in MoVQ
            processor = mindone.AttnProcessor2_0() if fused else mindone.AttnProcessor()
        cell.set_processor(processor)


def _added_kv_attention(cell: Any, device: str) -> Any:
    """Choose how a 2.x UNet attends without the kernel."""
    layers = cell.to_q, cell.to_k, cell.to_v, cell.to_out[0]
    plain = all(type(layer) is mint.nn.Linear and layer.bias is not None for layer in layers)
    if device == "cpu" and plain:  # not with weights in 8 bits
        return ChannelsFirstAttention(cell.inner_dim)
    mindone = mindone_module("mindone.diffusers.models.attention_processor")
    return mindone.AttnAddedKVProcessor()


def fused_attention_suits(device: str, dtype: str, head_width: int) -> bool:
    """Whether the NPU's fused kernel can compute an attention in the dtype of its network."""
    return (
        device != "cpu"
        and dtype != "float32"
        and head_width % _WIDTH_MULTIPLE == 0
        and head_width <= _MAX_WIDTH
    )


@ms.jit_class
class FusedAddedKVAttention:
    """Attention of the 2.x UNets: image positions attend to the conditioning and to themselves."""

    def __call__(
        self,
        attn: Any,
        hidden_states: Any,
        encoder_hidden_states: Any = None,
        attention_mask: Any = None,
    ) -> Any:
        """Compute one attention with its norm, projections and residual.

        Args:
            attn: The layer of mindone that holds the weights.
            hidden_states: [B,C,h,w].
            encoder_hidden_states: [B,T,cross_attention_dim].
            attention_mask: Part of mindone's interface; Kandinsky's UNets have no mask.

        Returns:
            [B,C,h,w].
        """
        batch, channels, height, width = hidden_states.shape
        flat = hidden_states.reshape(batch, channels, height * width)
        x = attn.group_norm(flat).swapaxes(1, 2)  # [B,h*w,C]
        query, key, value = _project(attn, x, None)
        key = mint.cat([attn.add_k_proj(encoder_hidden_states), key], dim=1)
        value = mint.cat([attn.add_v_proj(encoder_hidden_states), value], dim=1)
        out = _fused_attention(query, key, value, None, attn.heads, attn.scale)  # [B,h*w,C]
        out = attn.to_out[0](out).swapaxes(1, 2)
        return out.reshape(hidden_states.shape) + hidden_states


@ms.jit_class
class ChannelsFirstAttention:
    """Attention of the 2.x UNets on a CPU, where moving numbers costs as much as products.

    Channels stay in front of pixels as they come, so that nothing is transposed but the
    conditioning. mindone transposes eleven times, and multiplies queries and keys by the root of
    the scale each.

    Args:
        channels: Channels of an attention's input, of all heads together.
    """

    def __init__(self, channels: int) -> None:
        self._project = ops.Conv2D(channels, 1)  # a product of [C,C] and [B,C,T]
        self._score = ops.BatchMatMul(transpose_a=True)
        self._mix = ops.BatchMatMul(transpose_b=True)

    def __call__(
        self,
        attn: Any,
        hidden_states: Any,
        encoder_hidden_states: Any = None,
        attention_mask: Any = None,
    ) -> Any:
        """Compute one attention as `FusedAddedKVAttention` does; shapes are the same."""
        batch, channels, height, width = hidden_states.shape
        split = (batch * attn.heads, channels // attn.heads, -1)  # [B*N,D,T]
        x = attn.group_norm(hidden_states.reshape(batch, channels, height * width))
        x = x.reshape(batch, channels, height * width, 1)
        query = self._projected(attn.to_q, x).reshape(split) * attn.scale
        key = self._projected(attn.to_k, x).reshape(split)
        value = self._projected(attn.to_v, x).reshape(split)
        added_key = attn.add_k_proj(encoder_hidden_states).swapaxes(1, 2).reshape(split)
        added_value = attn.add_v_proj(encoder_hidden_states).swapaxes(1, 2).reshape(split)
        key = mint.cat([added_key, key], dim=2)
        value = mint.cat([added_value, value], dim=2)
        weights = mint.softmax(self._score(query, key), dim=-1)  # [B*N,T,T']
        out = self._mix(value, weights).reshape(x.shape)
        return self._projected(attn.to_out[0], out).reshape(hidden_states.shape) + hidden_states

    def _projected(self, layer: Any, x: Any) -> Any:
        """Apply a layer to the channels of [B,C,T,1]."""
        weight = layer.weight.reshape((*layer.weight.shape, 1, 1))
        return ops.bias_add(self._project(x, weight), layer.bias)


@ms.jit_class
class FusedMaskedAttention:
    """Attention of the prior and of Kandinsky 3's UNet, with a mask or none.

    In the prior tokens attend to each other as far as the mask lets them. In the UNet image
    positions attend to each other, or to a text with padding.
    """

    def __call__(
        self,
        attn: Any,
        hidden_states: Any,
        encoder_hidden_states: Any = None,
        attention_mask: Any = None,
    ) -> Any:
        """Compute one attention with its projections.

        Args:
            attn: The layer of mindone that holds the weights.
            hidden_states: [B,T,C].
            encoder_hidden_states: The tokens that are attended to, [B,L,D]; None takes
                `hidden_states`.
            attention_mask: The bias that the reference adds to the scores: zero, or very negative.
                It is [B*N,T,T] and the same for all heads, or [B,1,L]. None lets every token see
                all. So does a row that would leave out all, because a kernel may return no number
                for it.

        Returns:
            [B,T,C].
        """
        batch, length, _ = hidden_states.shape
        query, key, value = _project(attn, hidden_states, encoder_hidden_states)
        left_out = None
        if attention_mask is not None:
            _, rows, seen = attention_mask.shape
            left_out = attention_mask.reshape(batch, -1, rows, seen)[:, :1] < 0  # [B,1,T or 1,L]
            none_left = mint.all(left_out, dim=-1, keepdim=True)
            left_out = mint.logical_and(left_out, mint.logical_not(none_left))
            left_out = left_out.broadcast_to((batch, 1, length, seen))
        out = _fused_attention(query, key, value, left_out, attn.heads, attn.scale)
        return attn.to_out[0](out)


# MindSpore also compiles the functions below, so they use only syntax that its compiler reads.


def _fused_attention(
    query: Any, key: Any, value: Any, left_out: Any, heads: int, scale: float
) -> Any:
    """Attend with the fused kernel: [B,T,N*D], true where [B,1,T,T'] is left out -> [B,T,N*D].

    The layout BSH is that of the products before and behind, so that nothing is transposed.
    """
    attend = ops.operations.nn_ops.FlashAttentionScore(
        head_num=heads, keep_prob=1.0, scale_value=scale, input_layout="BSH"
    )
    return attend(query, key, value, None, None, None, left_out)[3]


def _project(attn: Any, x: Any, context: Any) -> tuple[Any, Any, Any]:
    """Project [B,T,C], and [B,L,D] or None for the same: query, key, value, [B,T or L,N*D]."""
    context = x if context is None else context
    return attn.to_q(x), attn.to_k(context), attn.to_v(context)
