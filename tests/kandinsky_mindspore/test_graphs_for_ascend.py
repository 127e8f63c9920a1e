"""The graphs of small networks for an NPU, from MindSpore's compiler, which needs none for them."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

pytest.importorskip("mindspore")
pytest.importorskip("mindone")

from kandinsky_mindspore.runtime import load_mindspore

load_mindspore()

from benchmarks.ascend.graph_text import Node  # noqa: E402
from benchmarks.ascend.operators import without_kernel  # noqa: E402
from benchmarks.ascend.programs import graph_of_network  # noqa: E402
from benchmarks.ascend.reading import count, operators_of  # noqa: E402
from kandinsky_mindspore.placement.devices import select_device  # noqa: E402
from tests.support.fake_npu import MOVQ, PRIOR, T5, UNET, UNET_OF_3  # noqa: E402

CONFIGS = {"unet": UNET, "prior": PRIOR, "movq": MOVQ, "unet of 3": UNET_OF_3, "t5": T5}


@cache
def graph(name: str, dtype: str = "float16", quantize: str | None = None) -> list[Node]:
    select_device("cpu")
    return graph_of_network(CONFIGS[name], dtype, 8, quantize=quantize)


def attentions(nodes: list[Node]) -> list[Node]:
    return [node for node in nodes if node.operator == "FlashAttentionScore"]


@pytest.mark.parametrize("name", CONFIGS)
def test_each_operator_has_a_kernel_on_ascend(name: str) -> None:
    assert without_kernel(operators_of(graph(name))) == []


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_attention_of_a_unet_is_the_fused_operator_alone(dtype: str) -> None:
    nodes = graph("unet", dtype)
    kind = {"float16": "Float16", "bfloat16": "BFloat16"}[dtype]
    found = attentions(nodes)
    assert len(found) == 4
    for node in found:
        query, key, value = node.inputs[:3]
        assert {query.kind, key.kind, value.kind} == {kind}
        # Batch, heads, tokens, width; the tokens of the condition stand before those of the picture.
        assert query.shape is not None and key.shape is not None
        assert query.shape[:2] == key.shape[:2] == (2, 4)
        assert key.shape == value.shape == (2, 4, query.shape[2] + 10, 16)
        assert "processor" not in node.layer
    assert "Softmax" not in operators_of(nodes)


def test_without_half_precision_there_is_a_softmax_in_its_place() -> None:
    nodes = graph("unet", "float32")
    assert attentions(nodes) == []
    assert count(nodes).operators["Softmax"] == 4


def test_masks_of_the_fused_operator_are_of_bits() -> None:
    for name, expected in (("prior", {"Bool"}), ("movq", set()), ("unet of 3", {"Bool"})):
        found = attentions(graph(name))
        assert found, name
        masks = {value.kind for node in found for value in node.inputs[3:]}
        assert masks == expected, name


def test_weights_in_eight_bits_are_multiplied_by_their_own_operator() -> None:
    nodes = graph("unet", quantize="int8")
    found = [node for node in nodes if node.operator == "WeightQuantBatchMatmul"]
    assert len(found) > 20
    for node in found:
        x, weight, steps = node.inputs
        assert (x.kind, weight.kind, steps.kind) == ("Float16", "Int8", "Float16")
    assert without_kernel(operators_of(nodes)) == []


def test_layers_have_the_names_of_the_network() -> None:
    layers = {node.layer for node in graph("unet")}
    assert {"conv_in", "mid_block.attentions.0.to_q"} <= layers, sorted(layers)


def wide(name: str) -> list[str]:
    return count(graph(name)).wide


def test_float32_is_left_only_in_the_embedding_of_the_timestep() -> None:
    expected: dict[str, Any] = {}
    assert {name: wide(name) for name in ("unet", "movq")} == expected
