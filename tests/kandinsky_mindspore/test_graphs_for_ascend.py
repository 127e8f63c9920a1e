"""The graphs of small networks for an NPU, from MindSpore's compiler, which needs none for them."""

from __future__ import annotations

import re
from functools import cache

import pytest

pytest.importorskip("mindspore")
pytest.importorskip("mindone")

from kandinsky_mindspore.runtime import load_mindspore

load_mindspore()

from benchmarks.ascend.forms import earlier_forms  # noqa: E402
from benchmarks.ascend.graph_text import Node  # noqa: E402
from benchmarks.ascend.operators import without_kernel  # noqa: E402
from benchmarks.ascend.programs import graph_of_network  # noqa: E402
from benchmarks.ascend.reading import count, operators_of  # noqa: E402
from kandinsky_mindspore.placement.devices import select_device  # noqa: E402
from tests.support.fake_npu import PRIOR, UNET, UNET_OF_3  # noqa: E402

# Each graph takes MindSpore's compiler some seconds.
pytestmark = pytest.mark.slow(seconds=20)

CONFIGS = {"unet": UNET, "prior": PRIOR, "unet of 3": UNET_OF_3}


@cache
def graph(name: str, dtype: str = "float16", quantize: str | None = None) -> list[Node]:
    select_device("cpu")
    return graph_of_network(CONFIGS[name], dtype, 8, quantize=quantize)


def attentions(nodes: list[Node]) -> list[Node]:
    return [node for node in nodes if node.operator == "FlashAttentionScore"]


@pytest.mark.parametrize("name", CONFIGS)
def test_each_operator_has_a_kernel_on_ascend(name: str) -> None:
    assert without_kernel(operators_of(graph(name))) == []


def test_attention_of_a_unet_is_the_fused_operator_alone() -> None:
    nodes = graph("unet")
    found = attentions(nodes)
    assert len(found) == 4
    for node in found:
        query, key, value = node.inputs[:3]
        assert {query.kind, key.kind, value.kind} == {"Float16"}
        # Batch, tokens, 4 heads of 16; the condition has 32 tokens beside those of the picture.
        assert query.shape in ((2, 16, 64), (2, 64, 64))
        assert key.shape == value.shape == (2, query.shape[1] + 32, 64)
        assert node.text.startswith("%")
        heads, _, scale, *_, layout, _ = re.findall(r"[IF]\d\d\(([\d.]+)\)", node.text)
        assert (heads, scale, layout) == ("4", "0.25", "0"), "BSH is the first layout"
    assert "Softmax" not in operators_of(nodes)
    # What brings pixels behind channels and back, and no heads.
    assert count(nodes).transposes == 2 * len(found)


def test_the_earlier_form_transposes_each_operand_and_result() -> None:
    with earlier_forms():
        nodes = graph_of_network(UNET, "float16", 8)
    now, before = count(graph("unet")), count(nodes)
    # The query, the key and value of pixels, those of the condition, and the result.
    assert before.transposes == now.transposes + 6 * 4
    assert before.reshapes == now.reshapes + 6 * 4
    assert {len(node.inputs[0].shape or ()) for node in attentions(nodes)} == {4}


def test_without_half_precision_there_is_a_softmax_in_its_place() -> None:
    nodes = graph("unet", "float32")
    assert attentions(nodes) == []
    assert count(nodes).operators["Softmax"] == 4


def test_masks_of_the_fused_operator_are_of_bits() -> None:
    for name, expected in (("prior", {"Bool"}), ("unet of 3", {"Bool"})):
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


def test_gelu_is_the_operator_of_an_npu_not_what_stands_in_its_place_on_a_cpu() -> None:
    operators = count(graph("prior")).operators
    assert operators["GeluExt"] == PRIOR.num_layers
    assert "Erf" not in operators


def test_layers_have_the_names_of_the_network() -> None:
    layers = {node.layer for node in graph("unet")}
    assert {"conv_in", "mid_block.attentions.0.to_q"} <= layers, sorted(layers)


def test_float32_is_left_only_in_the_embedding_of_the_timestep() -> None:
    for name in ("unet", "unet of 3"):
        sums = count(graph(name))
        layers = {line.partition(":")[0] for line in sums.wide}
        assert layers == {"time_proj"}, name
        assert sums.casts == 1, name  # the embedding, to half precision
