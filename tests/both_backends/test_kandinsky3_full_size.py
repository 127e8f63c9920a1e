"""The published configs of Kandinsky 3 build networks of exactly the published counts."""

from __future__ import annotations

import functools
import math
from collections import Counter
from typing import Any

import pytest

from kandinsky_core.configs import Kandinsky3UNetConfig, NetworkConfig, T5Config, VQModelConfig
from tests.support.backends import BACKENDS
from tests.support.kandinsky3 import MOVQ_JSON, T5_JSON, UNET_JSON

Shapes = dict[str, tuple[int, ...]]

CONFIGS: dict[str, NetworkConfig] = {
    "unet": Kandinsky3UNetConfig.from_dict(UNET_JSON),
    "unet_inpaint": Kandinsky3UNetConfig.from_dict(
        UNET_JSON | {"in_channels": 9, "out_channels": 4}
    ),
    "text_encoder": T5Config.from_dict(T5_JSON),
    "movq": VQModelConfig.from_dict(MOVQ_JSON),
}


@functools.cache
def shapes_of(backend: str, name: str) -> Shapes:
    """Names and shapes of all parameters, as PyTorch has them; no memory is taken."""
    config = CONFIGS[name]
    if backend == "mindspore":
        from kandinsky_mindspore.networks.build import build_network
        from kandinsky_mindspore.weights.load import parameters_by_name

        parameters = parameters_by_name(build_network(config))
        return {name: tuple(parameter.shape) for name, parameter in parameters.items()}
    from tests.support.jax_networks import expected_shapes

    return expected_shapes(config)


@pytest.fixture(scope="module", params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "tensors", "parameters"),
    [
        # 1068 and 3 of the projection of the text, which original files keep apart
        ("unet", 1071, 3_055_348_228),
        ("unet_inpaint", 1071, 3_038_571_460 + 16_785_408),
        ("text_encoder", 292 - 1, 8_721_797_632),  # the embedding is stored under two names
        ("movq", 430, 270_603_567),
    ],
)
def test_counts(backend: str, name: str, tensors: int, parameters: int) -> None:
    shapes = shapes_of(backend, name)
    assert len(shapes) == tensors
    assert sum(math.prod(shape) for shape in shapes.values()) == parameters


@pytest.mark.slow
def test_unet_by_part(backend: str) -> None:
    shapes = shapes_of(backend, "unet")
    assert Counter(len(shape) for shape in shapes.values()) == {1: 463, 2: 343, 4: 265}
    parts, keys = Counter[str](), Counter[str]()
    for name, shape in shapes.items():
        words = name.split(".")
        part = ".".join(words[:2]) if words[0] in ("down_blocks", "up_blocks") else words[0]
        parts[part] += math.prod(shape)
        keys[part] += 1
    levels = [f"down_blocks.{level}" for level in range(4)]
    levels += [f"up_blocks.{level}" for level in range(4)]
    assert [keys[level] for level in levels] == [102, 142, 142, 138, 138, 144, 144, 104]
    millions = [round(parts[level] / 1e6, 2) for level in levels]
    assert millions == [22.76, 111.67, 307.39, 903.79, 908.51, 541.78, 182.27, 36.48]
    assert parts["conv_in"] == 7_104
    assert parts["conv_norm_out"] + parts["conv_out"] == 7_300


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "tensor", "shape"),
    [
        ("unet", "conv_in.weight", (192, 4, 3, 3)),
        ("unet_inpaint", "conv_in.weight", (192, 9, 3, 3)),
        ("unet_inpaint", "conv_out.weight", (4, 192, 3, 3)),
        ("unet", "time_embedding.linear_1.weight", (1536, 192)),
        ("unet", "add_time_condition.attention.to_q.weight", (1536, 4096)),
        ("unet", "add_time_condition.attention.to_out.0.weight", (1536, 1536)),
        ("unet", "encoder_hid_proj.projection_linear.weight", (4096, 4096)),
        ("unet", "down_blocks.1.attentions.0.attention.to_q.weight", (384, 384)),
        ("unet", "down_blocks.1.attentions.1.attention.to_k.weight", (768, 4096)),
        ("unet", "down_blocks.1.attentions.1.in_norm.context_mlp.1.weight", (1536, 1536)),
        ("unet", "down_blocks.1.attentions.0.feed_forward.0.weight", (1536, 384, 1, 1)),
        ("unet", "up_blocks.1.resnets_in.0.shortcut_up_sample.weight", (3072, 3072, 2, 2)),
        ("unet", "down_blocks.2.resnets_out.2.shortcut_down_sample.weight", (1536, 1536, 2, 2)),
        ("text_encoder", "shared.weight", (32128, 4096)),
        (
            "text_encoder",
            "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
            (32, 16),
        ),
        ("text_encoder", "encoder.block.31.layer.1.DenseReluDense.wi_1.weight", (16384, 4096)),
        ("text_encoder", "encoder.block.31.layer.1.DenseReluDense.wo.weight", (4096, 16384)),
    ],
)
def test_names_and_shapes(network: str, tensor: str, shape: tuple[int, ...]) -> None:
    assert shapes_of("jax", network)[tensor] == shape
