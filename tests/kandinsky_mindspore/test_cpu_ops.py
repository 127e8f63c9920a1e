"""The kernels that replace MindSpore's missing, inexact or slow ones on a CPU, against NumPy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

pytest.importorskip("mindspore")

from kandinsky_mindspore.runtime import load_mindspore

ms = load_mindspore()

from mindspore import mint, ops  # noqa: E402
from mindspore.ops.auto_generate import gen_ops_prim  # noqa: E402

from kandinsky_mindspore.cpu import cpu_ops  # noqa: E402

ULP = float(np.finfo(np.float32).eps)


@pytest.fixture(scope="module", autouse=True)
def _installed() -> None:
    ms.set_device("CPU")
    assert set(cpu_ops.install()) == set(cpu_ops.KERNELS)


def normal(*shape: int, dtype: Any = np.float32) -> Any:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(dtype)


def tensor(array: Any) -> Any:
    return ms.Tensor(array)


def close(ours: Any, expected: Any, tolerance: float = 4 * ULP) -> None:
    """Same shape, and errors small beside the largest value."""
    ours = ours.asnumpy()
    assert ours.shape == np.shape(expected)
    assert np.abs(ours - expected).max() <= tolerance * max(np.abs(expected).max(), 1)


def same(ours: Any, expected: Any) -> None:
    ours = ours.asnumpy()
    assert ours.dtype == expected.dtype
    np.testing.assert_array_equal(ours, expected)


def correlate(x: Any, weight: Any, stride: Any, padding: Any, dilation: int, groups: int) -> Any:
    """A convolution in float64, by its definition."""
    x = np.pad(x.astype(np.float64), ((0, 0), (0, 0), *[(p, p) for p in padding]))
    outputs, inputs, height, width = weight.shape
    rows = (x.shape[2] - dilation * (height - 1) - 1) // stride[0] + 1
    columns = (x.shape[3] - dilation * (width - 1) - 1) // stride[1] + 1
    result = np.zeros((len(x), outputs, rows, columns))
    for o in range(outputs):
        first = o // (outputs // groups) * inputs
        for i in range(height):
            for j in range(width):
                window = x[:, first : first + inputs, i * dilation :, j * dilation :]
                window = window[:, :, :: stride[0], :: stride[1]][:, :, :rows, :columns]
                result[:, o] += np.einsum("bchw,c->bhw", window, weight[o, :, i, j])
    return result


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation", "groups"),
    [
        ((3, 3), (1, 1), (1, 1), 1, 1),
        ((1, 1), (1, 1), (0, 0), 1, 1),
        ((3, 2), (2, 1), (0, 1), 1, 1),
        ((3, 3), (2, 2), (2, 2), 2, 2),
    ],
)
def test_convolution(kernel: Any, stride: Any, padding: Any, dilation: int, groups: int) -> None:
    x, weight, bias = normal(2, 4, 9, 8), normal(6, 4 // groups, *kernel), normal(6)
    expected = correlate(x, weight, stride, padding, dilation, groups)
    layer = mint.nn.Conv2d(4, 6, kernel, stride, padding, dilation, groups)
    layer.weight.set_data(tensor(weight))
    layer.bias.set_data(tensor(bias))
    close(layer(tensor(x)), expected + bias[:, None, None], 8 * ULP)
    operator = gen_ops_prim.Conv2DExt()
    close(operator(tensor(x), tensor(weight), None, stride, padding, dilation, groups), expected)


@pytest.mark.parametrize(
    ("stride", "padding", "extra", "groups"), [(1, 0, 0, 1), (2, 1, 1, 1), (3, 2, 0, 2)]
)
def test_transposed_convolution(stride: int, padding: int, extra: int, groups: int) -> None:
    """It is the adjoint of the convolution: <conv(y), x> = <y, transposed(x)>."""
    x, weight = normal(2, 4, 5, 6), normal(4, 6 // groups, 3, 3)
    given = mint.nn.functional.conv_transpose2d(
        tensor(x), tensor(weight), None, stride, padding, extra, groups
    ).asnumpy()
    y = normal(*given.shape)
    forward = correlate(y, weight, (stride,) * 2, (padding,) * 2, 1, groups)
    assert forward.shape == x.shape
    assert math.isclose((forward * x).sum(), (y * given).sum(), rel_tol=1e-5)
    shifted = mint.nn.functional.conv_transpose2d(
        tensor(x), tensor(weight), tensor(normal(6)), stride, padding, extra, groups
    )
    close(shifted, given + normal(6)[:, None, None])


@pytest.mark.parametrize("shape", [(7,), (5, 7)])
def test_layer_norm(shape: tuple[int, ...]) -> None:
    x, weight, bias = 3 + normal(2, 5, 7), normal(*shape), normal(*shape)
    axes = tuple(range(-len(shape), 0))
    mean = x.mean(axes, keepdims=True, dtype=np.float64)
    reciprocal = 1 / np.sqrt(((x - mean) ** 2).mean(axes, keepdims=True) + 1e-3)
    scaled = (x - mean) * reciprocal
    layer_norm = mint.nn.functional.layer_norm
    options = {"normalized_shape": shape, "eps": 1e-3}
    close(layer_norm(tensor(x), **options), scaled, 8 * ULP)
    given = layer_norm(tensor(x), weight=tensor(weight), bias=tensor(bias), **options)
    close(given, scaled * weight + bias, 8 * ULP)
    parts = gen_ops_prim.LayerNormExt()(tensor(x), shape, tensor(weight), tensor(bias), 1e-3)
    close(parts[1], mean)
    close(parts[2], reciprocal)


def test_average_pooling() -> None:
    x = normal(2, 3, 6, 8)
    pool = mint.nn.functional.avg_pool2d
    close(pool(tensor(x), 2), x.reshape(2, 3, 3, 2, 4, 2).mean((3, 5)))
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (2, 3))[:, :, ::2, ::2]
    close(pool(tensor(x), 3, stride=2, padding=1), windows.mean((4, 5)))
    with pytest.raises(NotImplementedError, match="ceil_mode"):
        pool(tensor(x), 3, stride=2, ceil_mode=True)


def test_padding() -> None:
    x = normal(2, 3, 4)
    pad = mint.nn.functional.pad
    same(pad(tensor(x), (1, 0), value=0.0), np.pad(x, ((0, 0), (0, 0), (1, 0))))
    wide = np.pad(x, ((0, 0), (2, 1), (0, 3)), constant_values=-5)
    same(pad(tensor(x), (0, 3, 2, 1), value=-5.0), wide)
    flags = x > 0
    same(
        gen_ops_prim.ConstantPadND()(tensor(flags), (1, 1), False),
        np.pad(flags, ((0, 0),) * 2 + ((1, 1),)),
    )
    same(gen_ops_prim.ConstantPadND()(tensor(x), (0, 0), 7.0), x)


def test_added_batched_product() -> None:
    bias, a, b = normal(2, 3, 5), normal(2, 3, 4), normal(2, 4, 5)
    close(mint.baddbmm(tensor(bias), tensor(a), tensor(b)), bias + a @ b)
    options = {"beta": 0.5, "alpha": -2}
    close(mint.baddbmm(tensor(bias), tensor(a), tensor(b), **options), bias / 2 - 2 * a @ b)


def test_repeating() -> None:
    x = normal(2, 3, 4)
    for dim in (0, 1, -1):
        given = tensor(x).repeat_interleave(3, dim=dim, output_size=x.shape[dim] * 3)
        same(given, np.repeat(x, 3, axis=dim))
    same(gen_ops_prim.RepeatInterleaveInt()(tensor(x), 2, None, 48), np.repeat(x, 2))


def test_cumulative_sums() -> None:
    x = normal(3, 5)
    close(mint.cumsum(tensor(x), 1), x.cumsum(1))
    same(mint.cumsum(tensor(x > 0), 0), (x > 0).cumsum(0))
    small = np.full((300,), 100, np.int32)
    same(mint.cumsum(tensor(small), 0), small.cumsum(dtype=np.int64))


def test_position_of_the_minimum() -> None:
    x = np.float32([[3, 1, 1], [0, 5, 0]])
    same(mint.argmin(tensor(x), 1), x.argmin(1))
    same(mint.argmin(tensor(x), 0, True), x.argmin(0, keepdims=True))
    same(mint.argmin(tensor(x)), x.argmin())


def test_embedding() -> None:
    table, indices = normal(7, 3), np.array([[0, 6], [3, 3]])
    same(mint.nn.functional.embedding(tensor(indices), tensor(table)), table[indices])
    with pytest.raises(NotImplementedError, match="max_norm"):
        mint.nn.functional.embedding(tensor(indices), tensor(table), max_norm=1.0)


def test_ranges_and_constants() -> None:
    same(mint.arange(5), np.arange(5))
    same(mint.arange(2, 8, 3), np.arange(2, 8, 3))
    same(mint.arange(0.5, 3), np.arange(0.5, 3, dtype=np.float32))
    same(mint.arange(4, dtype=ms.float32), np.arange(4, dtype=np.float32))
    same(mint.full((2, 3), -10000.0), np.full((2, 3), -10000, np.float32))
    same(mint.full((2,), 7), np.full(2, 7))
    same(mint.full((2,), 1, dtype=ms.float16), np.ones(2, np.float16))


def test_dense() -> None:
    x, weight, bias = normal(2, 3, 5), normal(4, 5), normal(4)
    close(mint.nn.functional.linear(tensor(x), tensor(weight)), x @ weight.T)
    close(mint.nn.functional.linear(tensor(x), tensor(weight), tensor(bias)), x @ weight.T + bias)
    close(gen_ops_prim.Dense()(tensor(x[0, 0]), tensor(weight), None), weight @ x[0, 0])


@pytest.mark.parametrize("name", ["exp", "log"])
def test_exact_exponentials_and_logarithms(name: str) -> None:
    x = np.linspace(1e-3, 20, 50001, dtype=np.float32)
    expected = getattr(np, name)(x.astype(np.float64))
    given = getattr(mint, name)(tensor(x))
    assert given.dtype == ms.float32
    # Half a unit in the last place; the kernels replaced are off by 62 and 33000.
    assert (
        np.abs(given.asnumpy() - expected) / np.spacing(np.abs(expected).astype("f4"))
    ).max() < 1
    assert getattr(mint, name)(tensor(x).astype(ms.float16)).dtype == ms.float16
    assert getattr(mint, name)(tensor(np.array([1, 2]))).dtype == ms.float32


def test_exponentials_and_dense_layers_keep_their_gradients() -> None:
    weight = tensor(normal(1, 1))
    gradient = ms.grad(lambda x: mint.log(mint.exp(2 * x)).sum() + ops.dense(x, weight).sum())
    close(gradient(tensor(normal(3, 1))), np.full((3, 1), 2 + weight.asnumpy().item()))


def test_gelu() -> None:
    x = np.linspace(-9, 9, 20001, dtype=np.float32)
    wide = x.astype(np.float64)
    exact = wide * np.vectorize(lambda v: 0.5 * math.erfc(-v / math.sqrt(2)))(wide)
    close(mint.nn.functional.gelu(tensor(x)), exact, ULP)
    bent = 0.5 * wide * (1 + np.tanh(math.sqrt(2 / math.pi) * (wide + 0.044715 * wide**3)))
    close(mint.nn.functional.gelu(tensor(x), approximate="tanh"), bent)
    assert mint.nn.functional.gelu(tensor(x).astype(ms.float16)).dtype == ms.float16


def test_installing_again_changes_nothing() -> None:
    before = {name: getattr(gen_ops_prim, name, None) for name in cpu_ops.KERNELS}
    cpu_ops.install()
    assert before == {name: getattr(gen_ops_prim, name, None) for name in cpu_ops.KERNELS}
    test_exact_exponentials_and_logarithms("exp")


def test_nothing_is_replaced_on_another_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ms, "get_context", {"device_target": "Ascend"}.get)
    method = gen_ops_prim.Exp.__call__
    monkeypatch.setattr(cpu_ops, "KERNELS", {"Exp": lambda x: x})
    assert cpu_ops.install() == ()
    assert gen_ops_prim.Exp.__call__ is method
