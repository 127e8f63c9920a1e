"""Scaled dot-product attention, the one place in which scores are computed.

Every network takes an `attend` argument at construction, so that a fused kernel can replace this
function without a change to any network.
"""

from __future__ import annotations

import functools
import math
from typing import Protocol

import jax
import jax.numpy as jnp
from jax import Array

from kandinsky_jax.layers.attention_kernels import kernel_for
from kandinsky_jax.layers.platforms import platform_dependent, traced_target
from kandinsky_jax.layers.products import wide_product

__all__ = [
    "AttentionFunction",
    "attend",
    "attention_of",
    "heads_of_product",
    "merge_heads",
    "split_heads",
]

# Above this many scores (256 MiB in float32) queries are taken in pieces. MoVQ at 1024 pixels has
# 16384 tokens: all its scores at once would take 1 GiB for each picture.
MAX_SCORES = 2**26
# A CPU takes one head of one picture after the other where each has at least HEAD_SCORES scores. It
# takes fewer queries at once, so that scores are still in its cache when they are read again. A TPU
# does so where all heads are more than CHIP_PIECES pieces of MAX_CHIP_SCORES. Its chip has room for
# these beside the skips of a UNet: 16 MiB in float32, and 8 more in bfloat16.
HEAD_SCORES = 2**18
MAX_NEAR_SCORES = 2**22
MAX_CHIP_SCORES = 2**22
CHIP_PIECES = 16
_ROWS = 128  # of a TPU's array of multipliers, which pieces of queries fill


class AttentionFunction(Protocol):
    """A function with the arguments of `attend`, which a network takes at construction.

    query [B,Tq,N,D], key and value [B,Tk,N,D], bias to [B,N,Tq,Tk] -> [B,Tq,N,D].
    """

    def __call__(
        self,
        query: Array,
        key: Array,
        value: Array,
        *,
        bias: Array | None = None,
        scale: float | None = None,
    ) -> Array: ...


def split_heads(x: Array, heads: int) -> Array:
    """Give each head its part of the channels: [B,T,N*D] -> [B,T,N,D]."""
    return x.reshape(*x.shape[:-1], heads, -1)


def heads_of_product(x: Array, heads: int) -> Array:
    """Split the heads of a projection that has few rows and a large kernel, of a text for example.

    To get heads apart, a TPU's compiler would turn the kernels before them, in each call, unless x
    has to be there as it is. Where it divides one program among chips it turns none, and is better
    left alone.
    """
    target = traced_target()
    if target is None or target.whole:
        x = platform_dependent(x, tpu=_laid_out, default=_unchanged)
    return split_heads(x, heads)


def merge_heads(x: Array) -> Array:
    """Put the heads' channels side by side: [B,T,N,D] -> [B,T,N*D]."""
    return x.reshape(*x.shape[:-2], -1)


def attend(
    query: Array,
    key: Array,
    value: Array,
    *,
    bias: Array | None = None,
    scale: float | None = None,
    choice: str | None = None,
) -> Array:
    """Compute softmax(scale query key^T + bias) value, with scores and softmax in float32.

    Long sequences are computed in pieces of queries, or by a kernel that holds no scores. The
    result is the same, because each query has a softmax of its own.

    Args:
        query: [B,Tq,N,D].
        key: [B,Tk,N,D].
        value: [B,Tk,N,D].
        bias: added to the scores, float32, of a shape that broadcasts to [B,N,Tq,Tk].
        scale: 1 / sqrt(D) where none is given.
        choice: Whether kernels are taken: see `kandinsky_jax.layers.attention_kernels`.

    Returns:
        [B,Tq,N,D] in the dtype of `value`.
    """
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    if bias is not None and bias.shape[-2] != 1:  # only texts have such a bias, and they are short
        return _attend_at_once(query, key, value, bias, scale)
    in_pieces = functools.partial(_attend_in_pieces, scale=scale, most=MAX_SCORES)
    if query.shape[1] * key.shape[1] < HEAD_SCORES:
        return in_pieces(query, key, value, bias)
    kernel = kernel_for(traced_target(), query, key, bias=bias, scale=scale, choice=choice)
    if kernel is not None:
        return kernel(query, key, value)
    by_heads = functools.partial(_attend_by_heads, scale=scale)
    on_chip = functools.partial(_attend_on_chip, scale=scale)
    out: Array = platform_dependent(
        query, key, value, bias, cpu=by_heads, tpu=on_chip, default=in_pieces
    )
    return out


@functools.cache
def attention_of(choice: str | None) -> AttentionFunction:
    """Return `attend` with a choice of kernels, always the same function for the same choice."""
    return functools.partial(attend, choice=choice)


def _attend_on_chip(
    query: Array, key: Array, value: Array, bias: Array | None, scale: float
) -> Array:
    """Attend so that a TPU never writes scores to its main memory.

    A few pieces of queries stand one after the other, so that keys stay as they are laid out. Where
    there would be many, heads come one by one in a loop, because the queries of a piece were few.
    """
    batch, queries, heads, _ = query.shape
    most = max(1, MAX_CHIP_SCORES // (batch * heads * key.shape[1]))  # queries of a piece
    pieces = -(-queries // most)
    if pieces > CHIP_PIECES:
        return _attend_by_heads(query, key, value, bias, scale)
    length = -(-queries // pieces)
    length = -(-length // _ROWS) * _ROWS
    if length > most:
        length = most // _ROWS * _ROWS or most
    return jnp.concatenate(
        [
            _attend_at_once(query[:, start : start + length], key, value, bias, scale)
            for start in range(0, queries, length)
        ],
        axis=1,
    )


def _attend_by_heads(
    query: Array, key: Array, value: Array, bias: Array | None, scale: float
) -> Array:
    batch, _, heads, _ = query.shape

    def split(x: Array) -> Array:  # [B,T,N,D] -> [B*N,1,T,1,D]
        return x.swapaxes(1, 2).reshape(batch * heads, 1, x.shape[1], 1, -1)

    if bias is not None:
        bias = jnp.broadcast_to(bias, (batch, heads, 1, key.shape[1]))
        bias = bias.reshape(batch * heads, 1, 1, 1, -1)

    def one(head: tuple[Array, Array, Array, Array | None]) -> Array:
        return _attend_in_pieces(*head, scale=scale, most=MAX_NEAR_SCORES)

    out: Array = jax.lax.map(one, (split(query), split(key), split(value), bias))
    return out.reshape(batch, heads, query.shape[1], -1).swapaxes(1, 2)


def _attend_in_pieces(
    query: Array, key: Array, value: Array, bias: Array | None, *, scale: float, most: int
) -> Array:
    """Attend with at most so many scores at once; the bias is the same for all queries."""
    batch, queries, heads, width = query.shape
    at_once = functools.partial(_attend_at_once, key=key, value=value, bias=bias, scale=scale)
    pieces = -(-queries // max(1, most // (batch * heads * key.shape[1])))
    if pieces == 1:
        return at_once(query)
    length = -(-queries // pieces)
    padding = pieces * length - queries
    padded = jnp.pad(query, ((0, 0), (0, padding), (0, 0), (0, 0)))
    split = padded.reshape(batch, pieces, length, heads, width).swapaxes(0, 1)  # [P,B,L,N,D]
    out: Array = jax.lax.map(at_once, split)
    return out.swapaxes(0, 1).reshape(batch, pieces * length, heads, -1)[:, :queries]


def _attend_at_once(
    query: Array, key: Array, value: Array, bias: Array | None, scale: float
) -> Array:
    # There are far more scores than queries or results: scale and total act on these if they can.
    early = math.frexp(scale)[0] == 0.5  # a power of two, and so exact in any dtype
    scores = wide_product("bqnd,bknd->bnqk", query * scale if early else query, key)
    if not early:
        scores = scores * scale
    if bias is not None:
        scores = scores + bias
    weights = jnp.exp(scores - scores.max(axis=-1, keepdims=True))
    total = weights.sum(axis=-1).swapaxes(1, 2)[..., None]  # [B,Tq,N,1]
    mixed = wide_product("bnqk,bknd->bqnd", weights.astype(value.dtype), value)
    return (mixed / total).astype(value.dtype)


def _unchanged(x: Array) -> Array:
    return x


def _laid_out(x: Array) -> Array:
    """Return x, which the compiler may not fold into what comes before or after it."""
    there: Array = jax.lax.optimization_barrier(x)
    return there
