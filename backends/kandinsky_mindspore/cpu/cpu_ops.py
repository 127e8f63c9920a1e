"""Replaces operators that MindSpore 2.7 lacks on a CPU, or computes badly there, by other ones.

mindone's models are made of `mindspore.mint`, which is written for Ascend: 13 of the operators that
the Kandinsky networks call have no kernel on a CPU. Four more have a bad one. `Exp` and `Log` are
wrong by up to 60 and 33000 units in the last place, which the sines of a timestep turn into errors
of 3e-4. `Tanh` is wrong by up to 1e-4. `Dense` takes 20 times as long as a plain matrix product.

`install` puts the functions of this module in the operators' place. It changes eager execution on a
CPU and nothing else, but for `gelu`: the compiler of graph mode reads operators, not their Python
methods, and `gelu` is a plain function.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import ops
from mindspore.ops import functional_overload
from mindspore.ops.auto_generate import gen_ops_prim

__all__ = ["KERNELS", "install"]


def arange(start: Any, end: Any, step: Any, dtype: Any = None) -> Any:
    """`Arange`: numbers from `start` up to `end`, without `end` itself."""
    values = ms.Tensor.from_numpy(np.arange(start, end, step))
    return values.astype(dtype or (ms.float32 if values.is_floating_point() else values.dtype))


def fill_scalar(size: Sequence[int], fill_value: Any, dtype: Any = None) -> Any:
    """`FillScalar`: an array of one value."""
    values = ms.Tensor.from_numpy(np.full(tuple(size), fill_value))
    return values.astype(dtype or (ms.float32 if values.is_floating_point() else values.dtype))


def conv2d(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    """`Conv2DExt`: [B,C,H,W] with [O,C/groups,h,w] -> [B,O,H',W']."""
    height, width = _pair(padding)
    convolve = _convolution(
        weight.shape[0],
        tuple(weight.shape[2:]),
        (height, height, width, width),
        _pair(stride),
        _pair(dilation),
        groups,
    )
    y = convolve(x, weight)
    return y if bias is None else ops.bias_add(y, bias)


@functools.cache
def _convolution(
    channels: int,
    kernel: tuple[int, ...],
    padding: tuple[int, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
    groups: int,
) -> Any:
    # An operator takes longer to make than a small convolution takes to run.
    return ops.Conv2D(
        channels,
        kernel,
        pad_mode="pad",
        pad=padding,
        stride=stride,
        dilation=dilation,
        group=groups,
    )


def conv_transpose2d(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Any:
    """`ConvTranspose2D`: [B,C,H,W] with [C,O/groups,h,w] -> [B,O,H',W']."""
    strides, pads, extra, spread = map(_pair, (stride, padding, output_padding, dilation))
    size = tuple(
        (n - 1) * s - 2 * p + d * (k - 1) + e + 1
        for n, s, p, d, k, e in zip(
            x.shape[2:], strides, pads, spread, weight.shape[2:], extra, strict=True
        )
    )
    transpose = ops.Conv2DTranspose(
        weight.shape[0],
        tuple(weight.shape[2:]),
        pad_mode="pad",
        pad=(pads[0], pads[0], pads[1], pads[1]),
        stride=strides,
        dilation=spread,
        group=groups,
    )
    y = transpose(x, weight, (x.shape[0], weight.shape[1] * groups, *size))
    return y if bias is None else ops.bias_add(y, bias)


def layer_norm(
    x: Any, normalized_shape: Sequence[int], weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> tuple[Any, Any, Any]:
    """`LayerNormExt`: the normalised array, its means, and the reciprocals of its deviations."""
    shape = tuple(normalized_shape)
    weight = ops.ones(shape, x.dtype) if weight is None else weight
    bias = ops.zeros(shape, x.dtype) if bias is None else bias
    y, mean, variance = _layer_norm(x.ndim - len(shape), eps)(x, weight, bias)
    return y, mean, ops.rsqrt(variance + eps)


@functools.cache
def _layer_norm(axis: int, epsilon: float) -> Any:
    return ops.LayerNorm(begin_norm_axis=axis, begin_params_axis=axis, epsilon=epsilon)


def embedding(
    indices: Any,
    weight: Any,
    padding_idx: int | None = None,  # concerns gradients only
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
) -> Any:
    """`Embedding`: rows of a table."""
    _require("Embedding", max_norm=(max_norm, None))
    return ops.gather(weight, indices, 0)


def average_pool2d(
    x: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    """`AvgPool2D`: means of windows; zeros of the padding count."""
    _require("AvgPool2D", ceil_mode=(ceil_mode, False), divisor_override=(divisor_override, None))
    height, width = _pair(padding)
    if height or width:
        _require("AvgPool2D", count_include_pad=(count_include_pad, True))
        x = constant_pad(x, (width, width, height, height))
    kernel = _pair(kernel_size)
    pool = ops.AvgPool(kernel, _pair(stride) if stride else kernel, pad_mode="valid")
    return pool(x)


def constant_pad(x: Any, padding: Sequence[int], value: Any = 0.0) -> Any:
    """`ConstantPadND`: `padding` counts before and after each axis, the last axis first."""
    pairs = [int(count) for count in padding]
    if not any(pairs):
        return x
    boolean = x.dtype == ms.bool_
    wide = x.astype(ms.int32) if boolean else x
    missing = 2 * x.ndim - len(pairs)
    wide = ops.PadV3()(wide, (*pairs, *[0] * missing), ms.Tensor(value, wide.dtype))
    return wide.astype(ms.bool_) if boolean else wide


def baddbmm(x: Any, batch1: Any, batch2: Any, beta: float = 1, alpha: float = 1) -> Any:
    """`Baddbmm`: beta x + alpha batch1 batch2."""
    product = ops.bmm(batch1, batch2)
    product = product if alpha == 1 else alpha * product
    return product + (x if beta == 1 else beta * x)


def repeat_interleave(
    x: Any, repeats: int, dim: int | None = None, output_size: int | None = None
) -> Any:
    """`RepeatInterleaveInt`: repeats each item `repeats` times in a row."""
    if dim is None:
        x, dim = x.reshape(-1), 0
    dim %= x.ndim
    before, after = x.shape[:dim], x.shape[dim + 1 :]
    copies = x.expand_dims(dim + 1).broadcast_to((*before, x.shape[dim], repeats, *after))
    return copies.reshape((*before, x.shape[dim] * repeats, *after))


def cumsum(x: Any, dim: int, dtype: Any = None) -> Any:
    """`CumsumExt`: sums up to each item; integers and booleans are summed in int64."""
    if dtype is None and not x.is_floating_point():
        dtype = ms.int64
    return ops.cumsum(x if dtype is None else x.astype(dtype), dim)


def argmin(x: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """`ArgMinExt`: the position of the first smallest item, int64."""
    if dim is None:
        x, dim, keepdim = x.reshape(-1), 0, False
    position = ops.Argmin(axis=dim, output_type=ms.int32)(x).astype(ms.int64)
    return position.expand_dims(dim) if keepdim else position


def gelu(x: Any, *, approximate: str = "none") -> Any:
    """`gelu`: x Phi(x), by the error function or its tanh approximation."""
    if approximate == "tanh":
        return ops.GeLU()(x)
    wide = x.astype(ms.float32)
    return (0.5 * wide * (1 + ops.erf(wide * math.sqrt(0.5)))).astype(x.dtype)


def exp(x: Any) -> Any:
    """`Exp`, computed in float64, where MindSpore's kernel is exact."""
    return _in_float64("Exp", x)


def log(x: Any) -> Any:
    """`Log`, computed in float64, where MindSpore's kernel is exact."""
    return _in_float64("Log", x)


def tanh(x: Any) -> Any:
    """`Tanh`, computed in float64, where MindSpore's kernel is exact."""
    return _in_float64("Tanh", x)


def _in_float64(name: str, x: Any) -> Any:
    operator = getattr(gen_ops_prim, name)
    result = inspect.unwrap(operator.__call__)(operator(), x.astype(ms.float64))
    return result.astype(x.dtype if x.is_floating_point() else ms.float32)


def dense(x: Any, weight: Any, bias: Any = None) -> Any:
    """`Dense`: [...,I] with [O,I] -> [...,O]."""
    rows = x.reshape((-1, x.shape[-1]))
    y = _multiply()(rows, weight).reshape((*x.shape[:-1], weight.shape[0]))
    return y if bias is None else y + bias


@functools.cache
def _multiply() -> Any:
    return ops.MatMul(transpose_b=True)


def _pair(value: Any) -> tuple[int, int]:
    """Return numbers for height and width from one number or a sequence of them."""
    first, second = (value[0], value[-1]) if isinstance(value, Sequence) else (value, value)
    return int(first), int(second)


def _require(operator: str, **arguments: tuple[Any, Any]) -> None:
    """Refuse arguments that no Kandinsky network uses: (given, the only supported) by name."""
    for name, (given, supported) in arguments.items():
        if given != supported:
            raise NotImplementedError(
                f"{operator} on a CPU supports {name}={supported!r} only, not {given!r}"
            )


KERNELS: dict[str, Callable[..., Any]] = {
    "Arange": arange,
    "ArgMinExt": argmin,
    "AvgPool2D": average_pool2d,
    "Baddbmm": baddbmm,
    "ConstantPadND": constant_pad,
    "Conv2DExt": conv2d,
    "ConvTranspose2D": conv_transpose2d,
    "CumsumExt": cumsum,
    "Dense": dense,
    "Embedding": embedding,
    "Exp": exp,
    "FillScalar": fill_scalar,
    "LayerNormExt": layer_norm,
    "Log": log,
    "RepeatInterleaveInt": repeat_interleave,
    "Tanh": tanh,
    "gelu": gelu,
}
"""The functions by the names of the operators that they replace."""


def install() -> tuple[str, ...]:
    """Put every kernel in its operator's place, for the whole process.

    A second call changes nothing.

    Returns:
        The names of the replaced operators: none where the device is no CPU.
    """
    if ms.get_context("device_target") != "CPU":
        return ()
    for name, kernel in KERNELS.items():
        if name == "gelu":  # no class, but an object of C++ behind a Python function
            functional_overload._gelu_instance = kernel
        else:
            operator = getattr(gen_ops_prim, name)
            operator.__call__ = _method(kernel, inspect.unwrap(operator.__call__))
    return tuple(KERNELS)


def _method(kernel: Callable[..., Any], original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def call(_operator: Any, *arguments: Any, **options: Any) -> Any:
        return kernel(*arguments, **options)

    return call
