"""Weights in 8 bits on an NPU that is not there: a stand-in for its kernel checks its operands.

The operands are those of CANN's page on aclnnWeightQuantBatchMatmulV2 for per-channel scales on
Atlas A2. What this cannot show is in the kernel itself: its limits, its speed, its rounding.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest

pytest.importorskip("mindspore")
pytest.importorskip("mindone")

from kandinsky_mindspore.runtime import load_mindspore

ms = load_mindspore()

from mindspore import mint, ops  # noqa: E402

from kandinsky_backend_kit.quantized_rows import quantized_rows  # noqa: E402
from kandinsky_core.errors import InvalidInputError  # noqa: E402
from kandinsky_mindspore import create  # noqa: E402
from kandinsky_mindspore.components import denoise, encoders  # noqa: E402
from kandinsky_mindspore.networks import eight_bits  # noqa: E402
from kandinsky_mindspore.placement import devices  # noqa: E402
from tests.support.fake_npu import (  # noqa: E402
    T5,
    UNET,
    component,
    error,
    normal,
    replace_kernel,
    unet_output,
)

# Attentions of the down block, the middle and the up block: query, key, value, output, and two
# added ones. The other blocks have none.
ATTENTIONS = 4


class FakeWeightQuantBatchMatmul:
    """The kernel's interface as its documentation has it, in float64; the result is float32."""

    calls: ClassVar[list[SimpleNamespace]] = []

    def __init__(self, *, transpose_x: bool, transpose_weight: bool) -> None:
        assert (transpose_x, transpose_weight) == (False, True)

    def __call__(self, x: Any, weight: Any, scale: Any, *others: Any) -> Any:
        assert others == (None, None, None, None), "no offset, no rounding of results, no bias"
        assert len(x.shape) == len(weight.shape) == 2
        assert x.shape[1] == weight.shape[1] <= 65535
        assert scale.shape == weight.shape[:1]
        assert weight.dtype == ms.int8
        assert x.dtype == scale.dtype in (ms.float16, ms.bfloat16)
        self.calls.append(SimpleNamespace(x=x.shape, weight=weight.shape))
        wide = weight.asnumpy().astype(np.float64) * scale.asnumpy().astype(np.float64)[:, None]
        product = x.asnumpy().astype(np.float64) @ wide.T
        return ms.Tensor(product.astype(np.float32 if self.exact else np.float16))

    exact: ClassVar[bool] = False


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[SimpleNamespace]:
    """The calls of the kernel; attention has its own stand-in."""
    replace_kernel(monkeypatch)
    kernel = FakeWeightQuantBatchMatmul
    monkeypatch.setattr(ops.auto_generate, "WeightQuantBatchMatmul", kernel)
    kernel.calls.clear()
    return kernel.calls


@pytest.mark.parametrize("bias", [True, False])
def test_a_layer_is_the_product_with_what_its_bytes_stand_for(
    calls: list[SimpleNamespace], bias: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeWeightQuantBatchMatmul, "exact", True)
    plain = mint.nn.Linear(6, 10, bias=bias)
    layer = eight_bits.EightBitLinear(plain)
    weight = normal(10, 6)
    rows, steps = quantized_rows(weight, np.float16)
    layer.rows.set_data(ms.Tensor(rows))
    layer.steps.set_dtype(ms.float16)
    layer.steps.set_data(ms.Tensor(steps.astype(np.float16)))
    x = normal(2, 3, 6).astype(np.float16)
    expected = x.astype(np.float64) @ (rows * steps[:, None].astype(np.float64)).T
    if bias:
        added = normal(10)
        layer.bias.set_data(ms.Tensor(added))
        expected = expected + added
    found = layer(ms.Tensor(x)).asnumpy()
    assert found.shape == (2, 3, 10)
    assert error(found, expected) < 1e-6
    assert error(found, x.astype(np.float64) @ weight.T + (added if bias else 0)) < 1e-2
    assert [(call.x, call.weight) for call in calls] == [((6, 6), (10, 6))]


def test_a_unet_multiplies_by_the_kernel_and_convolves_as_before(
    calls: list[SimpleNamespace], monkeypatch: pytest.MonkeyPatch
) -> None:
    options: Any = {"npu": True, "dtype": "float16"}
    plain = component(monkeypatch, denoise.MindSporeUNet, UNET, **options)
    expected = unet_output(plain)
    assert calls == []
    unet = component(monkeypatch, denoise.MindSporeUNet, UNET, quantize="int8", **options)
    assert (unet.dtype, unet.quantize) == ("float16", "int8")
    assert unet.weight_shapes() == plain.weight_shapes()
    found = unet_output(unet)
    assert error(found, expected) < 5e-2
    wanted = [
        name
        for name, shape in unet.weight_shapes().items()
        if eight_bits.products_in_eight_bits(UNET.CLASS_NAME, name, len(shape))
    ]
    assert len(calls) == len(wanted)
    assert sum("attentions" in name for name in wanted) == 6 * ATTENTIONS
    kinds = {name: parameter.dtype for name, parameter in unet._cell.parameters_and_names()}
    rows = {name.replace(".weight", ".rows") for name in wanted}
    assert {name for name, kind in kinds.items() if kind == ms.int8} == rows
    assert kinds["conv_in.weight"] == ms.float16
    names = [parameter.name for parameter in unet._cell.get_parameters()]
    assert len(set(names)) == len(names), "MindSpore's compiler refuses a name that comes twice"
    some = wanted[:2]
    for name, was in plain.read_weights(some).items():
        read = unet.read_weights(some)[name]
        exact = was.astype(np.float32)  # which float16 has rounded once
        step = np.abs(exact).max(axis=1, keepdims=True) / 127
        assert (np.abs(read - exact) <= 0.51 * step + 2.0**-11 * np.abs(exact)).all()


def test_t5_keeps_its_table_and_rounds_its_products(
    calls: list[SimpleNamespace], monkeypatch: pytest.MonkeyPatch
) -> None:
    options: Any = {"npu": True, "dtype": "float16"}
    ids, mask = np.array([[3, 7, 1, 0, 0]]), np.array([[1, 1, 1, 0, 0]])
    plain = component(monkeypatch, encoders.MindSporeT5TextEncoder, T5, **options)
    expected = plain.encode(ids, mask)
    encoder = component(
        monkeypatch, encoders.MindSporeT5TextEncoder, T5, quantize="int8", **options
    )
    assert error(encoder.encode(ids, mask), expected) < 5e-2
    assert len(calls) == 7 * T5.num_layers  # query, key, value, output; two ways up, one down
    kinds = {name: parameter.dtype for name, parameter in encoder._cell.parameters_and_names()}
    assert {kind for name, kind in kinds.items() if "shared" in name} == {ms.float16}


def test_what_is_refused(calls: list[SimpleNamespace], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidInputError, match="no product with weights in 8 bits on a CPU"):
        eight_bits.require_kernel("int8", "float32", "cpu")
    with pytest.raises(InvalidInputError, match="in bfloat16 or float16, not in float32"):
        eight_bits.require_kernel("int8", "float32", "ascend:0")
    eight_bits.require_kernel("int8", "bfloat16", "ascend:1")
    eight_bits.require_kernel(None, "float32", "cpu")
    unet = component(
        monkeypatch, denoise.MindSporeUNet, UNET, npu=True, dtype="float16", quantize="int8"
    )
    with pytest.raises(InvalidInputError, match="rounded for float16: load it again"):
        unet.move(dtype="bfloat16")
    unet.move(dtype="float16")
    with pytest.raises(InvalidInputError, match=r"a LoRA: .* keeps its weights in int8"):
        unet.attach_adapter({}, label="some")


def test_a_cpu_offers_none_and_refuses_before_it_builds(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = create()
    assert backend.quantizations == ()

    def refuse(*_: Any) -> Any:
        raise AssertionError("it was built")

    monkeypatch.setattr("kandinsky_mindspore.backend.build_network", refuse)
    monkeypatch.setattr("kandinsky_mindspore.backend.read_config", lambda *_: UNET)
    source: Any = SimpleNamespace(class_name=UNET.CLASS_NAME, config={})
    with pytest.raises(InvalidInputError, match="on a CPU: take backend='jax'"):
        backend.load(source, "float16", "cpu", quantize="int8")
    monkeypatch.setattr(devices, "ascend_available", lambda: True)
    monkeypatch.setattr("kandinsky_mindspore.backend.ascend_available", lambda: True)
    assert create().quantizations == ("int8",)
