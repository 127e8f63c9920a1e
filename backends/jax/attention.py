"""Scaled dot-product attention, the one place in which scores are computed.

Every network takes an `attend` argument at construction, so that a fused kernel can replace this
function without a change to any network.
"""

from __future__ import annotations

import functools
import math
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

__all__ = ["AttentionFunction", "attend", "matmul_precision", "merge_heads", "split_heads"]

# Above this many scores (256 MiB in float32) queries are taken in pieces. MoVQ at 1024 pixels has
# 16384 tokens, so 1 GiB of scores for each picture if all were held at once.
MAX_SCORES = 2**26


class AttentionFunction(Protocol):
    """query [B,Tq,N,D], key and value [B,Tk,N,D], bias to [B,N,Tq,Tk] -> [B,Tq,N,D]."""

    def __call__(
        self,
        query: Array,
        key: Array,
        value: Array,
        *,
        bias: Array | None = None,
        scale: float | None = None,
    ) -> Array: ...


def matmul_precision(dtype: np.dtype[Any]) -> jax.lax.Precision | None:
    """Full float32 products for float32: some accelerators would silently use fewer bits."""
    return jax.lax.Precision.HIGHEST if dtype == jnp.float32 else None


def split_heads(x: Array, heads: int) -> Array:
    """[B,T,N*D] -> [B,T,N,D]."""
    return x.reshape(*x.shape[:-1], heads, -1)


def merge_heads(x: Array) -> Array:
    """[B,T,N,D] -> [B,T,N*D]."""
    return x.reshape(*x.shape[:-2], -1)


def attend(
    query: Array,
    key: Array,
    value: Array,
    *,
    bias: Array | None = None,
    scale: float | None = None,
) -> Array:
    """softmax(scale query key^T + bias) value, with scores and softmax in float32.

    Long sequences are computed in pieces of queries; as each query's softmax is its own, the
    result is the same.

    Args:
        query: [B,Tq,N,D].
        key: [B,Tk,N,D].
        value: [B,Tk,N,D].
        bias: added to the scores, float32, of a shape that broadcasts to [B,N,Tq,Tk].
        scale: 1 / sqrt(D) where none is given.

    Returns:
        [B,Tq,N,D] in the dtype of `value`.
    """
    batch, queries, heads, width = query.shape
    at_once = functools.partial(
        _attend_at_once,
        key=key,
        value=value,
        bias=bias,
        scale=width**-0.5 if scale is None else scale,
    )
    pieces = -(-batch * heads * queries * key.shape[1] // MAX_SCORES)
    same_for_all = bias is None or bias.shape[-2] == 1  # else a text's, whose sequences are short
    if pieces == 1 or not same_for_all:
        return at_once(query)
    length = -(-queries // pieces)
    padding = pieces * length - queries
    padded = jnp.pad(query, ((0, 0), (0, padding), (0, 0), (0, 0)))
    split = padded.reshape(batch, pieces, length, heads, width).swapaxes(0, 1)  # [P,B,L,N,D]
    out: Array = jax.lax.map(at_once, split)
    return out.swapaxes(0, 1).reshape(batch, pieces * length, heads, width)[:, :queries]


def _attend_at_once(
    query: Array, key: Array, value: Array, bias: Array | None, scale: float
) -> Array:
    # There are far more scores than queries or results: what can be done to those is done there.
    early = math.frexp(scale)[0] == 0.5  # a power of two, and so exact in any dtype
    scores = _product("bqnd,bknd->bnqk", query * scale if early else query, key)
    if not early:
        scores = scores * scale
    if bias is not None:
        scores = scores + bias
    weights = jnp.exp(scores - scores.max(axis=-1, keepdims=True))
    total = weights.sum(axis=-1).swapaxes(1, 2)[..., None]  # [B,Tq,N,1]
    mixed = _product("bnqk,bknd->bqnd", weights.astype(value.dtype), value)
    return (mixed / total).astype(value.dtype)


def _product(equation: str, a: Array, b: Array) -> Array:
    """Einsum of two arrays of one dtype, summed and returned in float32."""
    product = functools.partial(
        jnp.einsum,
        equation,
        precision=matmul_precision(a.dtype),
        preferred_element_type=jnp.float32,
    )
    if a.dtype == jnp.float32:
        return product(a, b)

    def widened(a: Array, b: Array) -> Array:
        return product(a.astype(jnp.float32), b.astype(jnp.float32))

    # XLA's CPU compiler has no kernel for half-precision factors with a float32 result.
    result: Array = jax.lax.platform_dependent(a, b, cpu=widened, default=product)
    return result
