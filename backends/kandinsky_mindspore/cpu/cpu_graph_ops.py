"""Does for networks that MindSpore compiles on a CPU what `cpu_ops` does for eager execution.

The compiler reads source: it knows an operator by its name, whatever its Python method has become.
So plain functions replace the operators that MindSpore's own layers and functions refer to. They do
so only while a network is compiled, and they use only syntax that the compiler understands (no
cached helpers, no generators).

The module has only the operators that the 2.x UNets need. The prior does not compile on a CPU: its
mask is repeated by a method that is out of Python's reach.
"""

from __future__ import annotations

from typing import Any

import mindspore as ms
from mindspore import mint, ops
from mindspore.ops.auto_generate import gen_ops_def, gen_ops_prim
from mindspore.ops.function import array_func, nn_func

__all__ = ["Compiling"]

_GROUP_NORM = gen_ops_def.group_norm_op
_SMALL_NORM = 2**15
_EXP, _LOG = gen_ops_prim.Exp(), gen_ops_prim.Log()


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
    height, width = padding if isinstance(padding, tuple) else (padding, padding)
    convolve = ops.Conv2D(
        weight.shape[0],
        (weight.shape[2], weight.shape[3]),
        pad_mode="pad",
        pad=(height, height, width, width),
        stride=stride,
        dilation=dilation,
        group=groups,
    )
    y = convolve(x, weight)
    if bias is not None:
        y = ops.bias_add(y, bias)
    return y


def layer_norm(
    x: Any, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Any:
    """`LayerNormExt`: returns the normalised array first."""
    if weight is None:
        weight = ops.ones(normalized_shape, x.dtype)
    if bias is None:
        bias = ops.zeros(normalized_shape, x.dtype)
    axis = x.ndim - len(normalized_shape)
    normalise = ops.LayerNorm(begin_norm_axis=axis, begin_params_axis=axis, epsilon=eps)
    return normalise(x, weight, bias)


def group_norm(x: Any, groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    """`GroupNorm`: [B,C,...] -> a tuple with the normalised array.

    MindSpore's kernel adds one number after the other, and takes up to four times as long as these
    operators, which use vectors. For small arrays one operator is better than a dozen. The mean is
    taken off first, so that one far from zero costs no more exactness than in PyTorch.
    """
    if x.size <= _SMALL_NORM:
        return _GROUP_NORM(x, groups, weight, bias, eps)
    samples, channels = x.shape[0], x.shape[1]
    rows, own = samples * groups, channels // groups
    if weight is None:
        weight = ops.ones((channels,), x.dtype)
    if bias is None:
        bias = ops.zeros((channels,), x.dtype)
    mean = _means(x.reshape((samples * channels, -1)), rows)
    deviations = ops.bias_add(x.reshape((1, rows, -1, 1)), -mean)
    variance = _means((deviations * deviations).reshape((samples * channels, -1)), rows)
    variances = ops.broadcast_to(variance.reshape((rows, 1)), (rows, own)).reshape((-1,))
    y = ops.BatchNorm(is_training=False, epsilon=eps)(
        deviations.reshape((1, samples * channels, -1, 1)),
        ops.tile(weight, (samples,)),
        ops.tile(bias, (samples,)),
        ops.zeros_like(variances),
        variances,
    )[0]
    return (y.reshape(x.shape),)


def _means(channels: Any, groups: int) -> Any:
    """Return the mean of each group: [B*C,T] -> [B*G].

    The sum of a channel comes first, as MindSpore's long sums are less exact. A mean over several
    axes at once takes four times as long.
    """
    return ops.ReduceMean()(ops.ReduceMean()(channels, 1).reshape((groups, -1)), 1)


def average_pool2d(
    x: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: Any = None,
) -> Any:
    """`AvgPool2D` without padding, as the UNets have it."""
    if padding != 0 or ceil_mode or divisor_override is not None:
        raise ValueError("compiled for a CPU, average pooling has no padding, ceiling or divisor")
    if stride is None:
        stride = kernel_size
    return ops.AvgPool(kernel_size=kernel_size, strides=stride, pad_mode="valid")(x)


def split_with_sizes(x: Any, sizes: Any, dim: int = 0) -> Any:
    """`SplitWithSize`: parts of the given sizes."""
    parts: Any = ()
    start = 0
    for size in sizes:
        parts = parts + (ops.narrow(x, dim, start, size),)  # noqa: RUF005 - the compiler's way
        start = start + size
    return parts


def split(x: Any, size: int, dim: int = 0) -> Any:
    """`SplitTensor`: parts of one size."""
    if x.shape[dim] % size != 0:
        raise ValueError("compiled for a CPU, an axis is split into equal parts only")
    return ops.Split(dim, x.shape[dim] // size)(x)


def chunk(x: Any, count: int, dim: int = 0) -> Any:
    """`Chunk`: splits an axis into so many equal parts."""
    if x.shape[dim] % count != 0:
        raise ValueError("compiled for a CPU, an axis is split into equal parts only")
    return ops.Split(dim, count)(x)


def exp(x: Any) -> Any:
    """`Exp`, computed in float64, where MindSpore's kernel is exact."""
    return _EXP(x.astype(ms.float64)).astype(x.dtype)


def log(x: Any) -> Any:
    """`Log`, computed in float64, where MindSpore's kernel is exact."""
    return _LOG(x.astype(ms.float64)).astype(x.dtype)


_REPLACEMENTS = (
    (nn_func, "group_norm_op", group_norm),
    (nn_func, "layer_norm_ext_op", layer_norm),
    (nn_func, "avg_pool2d_op", average_pool2d),
    (array_func, "split_with_size", split_with_sizes),
    (array_func, "split_with_size_op", split_with_sizes),
    (array_func, "split_tensor", split),
    (array_func, "split_tensor_op", split),
    (array_func, "chunk_op", chunk),
    (gen_ops_def, "exp_op", exp),
    (gen_ops_def, "log_op", log),
)


class Compiling:
    """Lets MindSpore's compiler find these functions, in a `with` statement; may be used again.

    Args:
        network: The network that will be compiled. Its convolutions keep their operator in an
            attribute; they have ours from now on, which serves eager execution too.
    """

    def __init__(self, network: Any) -> None:
        for _, cell in network.cells_and_names():
            if isinstance(cell, mint.nn.Conv2d):
                cell.conv2d = conv2d
        self._saved: list[Any] = []

    def __enter__(self) -> None:
        self._saved = [getattr(module, name) for module, name, _ in _REPLACEMENTS]
        for module, name, function in _REPLACEMENTS:
            setattr(module, name, function)

    def __exit__(self, *error: object) -> None:
        for (module, name, _), operator in zip(_REPLACEMENTS, self._saved, strict=True):
            setattr(module, name, operator)
