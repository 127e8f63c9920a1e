"""Kernels of others for attention: cuDNN's on GPUs, the flash kernel of JAX's Pallas on TPUs.

A kernel never writes scores to the main memory, however many tokens there are. Each takes only some
shapes and dtypes, and none takes a bias: both would want it for every score, and that would be the
matrix which they spare. Elsewhere `kandinsky_jax.layers.attention` computes in pieces.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

from kandinsky_jax.layers.platforms import Target
from kandinsky_jax.layers.products import matmul_precision

__all__ = ["CHOICES", "Kernel", "kernel_for", "kernels_of"]

Kernel = Callable[[Array, Array, Array], Array]
"""query [B,Tq,N,D], key and value [B,Tk,N,D] -> [B,Tq,N,D]."""

CHOICES = (None, "kernels", "plain")
"""What a user may ask for: kernels where there are some, an error where there are none, or none."""

# cuDNN's kernel needs tensor cores of this generation (Ampere), and heads of at most this width
# that is a multiple of 8. Hopper takes wider ones, which no network here has in half precision.
CUDNN_CAPABILITY = (8, 0)
CUDNN_WIDTH = 128
# A TPU takes the flash kernel from so many queries on: those of 41 x 41 cells. With fewer, its chip
# holds pieces of all heads of a guided UNet, and these cost as little: see docs/accelerators.md.
MANY_QUERIES = 1664
# Rows of queries that the kernel may take at once, and the fewest and the most keys per softmax.
QUERY_ROWS = (256, 384, 512)
FEWEST_KEYS = 512
MOST_KEYS = 1536
# Bytes of keys at one softmax, and of keys that are brought to the chip at once. The kernel holds
# keys and values, each twice, within 16 MiB that it shares with queries and scores.
KEY_BYTES = 2**20
BROUGHT_BYTES = 3 * 2**19
_FAR = -1e30  # what a masked score is about, in bfloat16 too; its weight is exactly 0
_LANES = 128  # a TPU's registers and tiles are so wide


def kernels_of(target: Target) -> str:
    """Return why a target has no kernels for any attention, or an empty text if it has."""
    if target.platform not in ("gpu", "tpu"):
        return f"there are none for a {target.platform}"
    if not target.whole:
        return "along the model axis of a mesh the compiler divides programs, and no kernel"
    if target.platform == "gpu" and (target.capability or (0, 0)) < CUDNN_CAPABILITY:
        least = ".".join(map(str, CUDNN_CAPABILITY))
        return f"cuDNN's needs an NVIDIA GPU of compute capability {least} or newer"
    return ""


def kernel_for(
    target: Target | None,
    query: Array,
    key: Array,
    *,
    bias: Array | None,
    scale: float,
    choice: str | None,
) -> Kernel | None:
    """Return the kernel for an attention, or None where it is computed in pieces.

    A GPU takes cuDNN's in half precision, a TPU the flash kernel where queries are many: see
    "Attention kernels" in docs/accelerators.md.

    Args:
        target: What is traced for; None has no kernels.
        query: [B,Tq,N,D]; only shape and dtype count.
        key: [B,Tk,N,D]; only the shape counts.
        bias: The attention's bias; only None has kernels.
        scale: What scores are multiplied by.
        choice: One of `CHOICES`.
    """
    if target is None or choice == "plain" or bias is not None or kernels_of(target):
        return None
    if target.platform == "gpu":
        return functools.partial(_by_cudnn, scale=scale) if _fits_cudnn(query) else None
    if query.shape[1] >= MANY_QUERIES and _fits_flash(query):
        return functools.partial(flash_attention, scale=scale)
    return None


def _fits_cudnn(query: Array) -> bool:
    width = query.shape[-1]
    half = query.dtype in (jnp.bfloat16, jnp.float16)
    return half and width <= CUDNN_WIDTH and width % 8 == 0


def _fits_flash(query: Array) -> bool:
    return query.dtype in (jnp.bfloat16, jnp.float32)  # a TPU's kernels have no float16


def _by_cudnn(query: Array, key: Array, value: Array, *, scale: float) -> Array:
    """Attend by cuDNN: https://docs.jax.dev/en/latest/_autosummary/jax.nn.dot_product_attention.html.

    Raises:
        NotImplementedError, RuntimeError: JAX found that this GPU or this cuDNN lacks the kernel.
    """
    return jax.nn.dot_product_attention(query, key, value, scale=scale, implementation="cudnn")


def flash_attention(query: Array, key: Array, value: Array, *, scale: float) -> Array:
    """Attend by the flash kernel of `jax.experimental.pallas.ops.tpu`.

    JAX has two such kernels. This one multiplies weights and values in the dtype of the values, as
    `attend` does; the other (splash) widens both to float32 first, for which a TPU needs several
    products or drops the digits again.

    The kernel takes whole blocks of keys. Keys that fill up the last block are masked by one more
    channel: it is 1 in queries, 0 in keys and far below zero in what is filled up. The kernel's own
    segment numbers would do the same, but it would read 512 bytes for each query and head.

    Args:
        query: [B,Tq,N,D], bfloat16 or float32.
        key: [B,Tk,N,D], of the same dtype.
        value: [B,Tk,N,D], of the same dtype.
        scale: What scores are multiplied by.

    Returns:
        [B,Tq,N,D].
    """
    from jax.experimental.pallas.ops.tpu import flash_attention as pallas

    width, rows, keys = query.shape[-1], query.shape[1], key.shape[1]
    if math.frexp(scale)[0] == 0.5:  # a power of two, and so exact in any dtype
        query, scale = query * scale, 1.0
    block, brought, padded = _key_blocks(keys, width, query.dtype.itemsize)
    query, key, value = (x.swapaxes(1, 2) for x in (query, key, value))  # [B,N,T,D]
    if padded > keys or (width > _LANES and width % _LANES):
        query = _with_channel(query, 1.0)
        key = _filled(_with_channel(key, 0.0), padded, width, _FAR)
        value = _filled(_with_channel(value, 0.0), padded, width, 0.0)
    block_q = _query_rows(rows)
    query = jnp.pad(query, ((0, 0), (0, 0), (0, -rows % block_q), (0, 0)))
    sizes = pallas.BlockSizes(block_q=block_q, block_k_major=brought, block_k=block, block_b=1)
    with jax.default_matmul_precision(_precision(query)):
        out: Array = pallas.flash_attention(query, key, value, sm_scale=scale, block_sizes=sizes)
    return out[:, :, :rows, :width].swapaxes(1, 2)


def _precision(query: Array) -> str:
    """Return how the kernel multiplies: float32 in full, as everywhere in this library."""
    return "default" if matmul_precision(query.dtype) is None else "highest"


def _query_rows(rows: int) -> int:
    """Return the rows of queries of one block: as few are filled up as can be, in large blocks."""
    _, negative = min((-(-rows // size) * size, -size) for size in QUERY_ROWS)
    return min(rows, -negative)


def _key_blocks(keys: int, width: int, itemsize: int) -> tuple[int, int, int]:
    """Return keys of one softmax, keys brought to the chip at once, and keys with those filled up.

    None are filled up if blocks of a fair size divide the keys; otherwise as few as possible. Of
    equal choices the largest block counts. Blocks divide what is brought, and that all keys.
    """
    row = _whole(width) * itemsize
    fitting = [size for size in _sizes(keys, row) if keys % size == 0]
    if fitting:
        block, padded = max(fitting), keys
    else:
        row = _whole(width + 1) * itemsize  # with the channel that masks
        padded, negative = min((-(-keys // size) * size, -size) for size in _sizes(keys, row))
        block = -negative
    count = padded // block
    most = max(1, BROUGHT_BYTES // (block * row))
    return (
        block,
        block * max(n for n in range(1, count + 1) if count % n == 0 and n <= most),
        padded,
    )


def _sizes(keys: int, row: int) -> range:
    """Return the sizes that blocks of keys may have, where a key takes so many bytes."""
    most = max(_LANES, min(MOST_KEYS, KEY_BYTES // row // _LANES * _LANES))
    return range(min(FEWEST_KEYS, most, _whole(keys)), most + 1, _LANES)


def _whole(width: int) -> int:
    return -(-width // _LANES) * _LANES


def _with_channel(x: Array, value: float) -> Array:
    """Fill a head up to whole tiles of channels, the first of which has a value."""
    width = x.shape[-1]
    missing = _whole(width + 1) - width
    more = jnp.zeros((missing,), x.dtype).at[0].set(value)
    return jnp.concatenate([x, jnp.broadcast_to(more, (*x.shape[:-1], missing))], axis=-1)


def _filled(x: Array, length: int, channel: int, value: float) -> Array:
    """Fill tokens up to a length; those have a value in one channel and 0 in the others."""
    more = jnp.zeros(x.shape[-1:], x.dtype).at[channel].set(value)
    missing = (*x.shape[:-2], length - x.shape[-2], x.shape[-1])
    return jnp.concatenate([x, jnp.broadcast_to(more, missing)], axis=-2)
