"""Puts the layout that the NPU's attention had before back in its place, to compare."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import mindspore as ms
from mindspore import mint, ops

from kandinsky_mindspore.networks import attention

__all__ = ["earlier_forms"]


@contextmanager
def earlier_forms() -> Iterator[None]:
    """Build and trace networks that bring heads in front of tokens, as mindone does it (BNSD)."""
    with (
        mock.patch.object(attention, "FusedAddedKVAttention", _AddedKVByHead),
        mock.patch.object(attention, "_fused_attention", _fused_attention),
    ):
        yield


@ms.jit_class
class _AddedKVByHead:
    """`FusedAddedKVAttention` as it was: it joins keys and values when their heads are split."""

    def __call__(
        self,
        attn: Any,
        hidden_states: Any,
        encoder_hidden_states: Any = None,
        attention_mask: Any = None,
    ) -> Any:
        """Compute one attention: [B,C,h,w], [B,T,cross_attention_dim] -> [B,C,h,w]."""
        batch, channels, height, width = hidden_states.shape
        flat = hidden_states.reshape(batch, channels, height * width)
        x = attn.group_norm(flat).swapaxes(1, 2)  # [B,h*w,C]
        query = _by_head(attn.to_q(x), attn.heads)
        key = _by_head(attn.to_k(x), attn.heads)
        value = _by_head(attn.to_v(x), attn.heads)
        added_key = _by_head(attn.add_k_proj(encoder_hidden_states), attn.heads)
        added_value = _by_head(attn.add_v_proj(encoder_hidden_states), attn.heads)
        key = mint.cat([added_key, key], dim=2)
        value = mint.cat([added_value, value], dim=2)
        out = attn.to_out[0](_attend(query, key, value, None, attn.scale)).swapaxes(1, 2)
        return out.reshape(hidden_states.shape) + hidden_states


# MindSpore also compiles the functions below, so they use only syntax that its compiler reads.


def _fused_attention(
    query: Any, key: Any, value: Any, left_out: Any, heads: int, scale: float
) -> Any:
    """Do what the function of the same name does, in the other layout."""
    query, key, value = _by_head(query, heads), _by_head(key, heads), _by_head(value, heads)
    return _attend(query, key, value, left_out, scale)


def _attend(query: Any, key: Any, value: Any, left_out: Any, scale: float) -> Any:
    """Attend with the fused kernel: [B,N,T,D], true where [B,1,T,T'] is left out -> [B,T,N*D]."""
    batch, heads, length, width = query.shape
    kernel = ops.operations.nn_ops.FlashAttentionScore(
        head_num=heads, keep_prob=1.0, scale_value=scale, input_layout="BNSD"
    )
    out = kernel(query, key, value, None, None, None, left_out)[3]
    return out.swapaxes(1, 2).reshape(batch, length, heads * width)


def _by_head(x: Any, heads: int) -> Any:
    """Give each head its part of the channels: [B,T,N*D] -> [B,N,T,D]."""
    batch, length, width = x.shape
    return x.reshape(batch, length, heads, width // heads).swapaxes(1, 2)
