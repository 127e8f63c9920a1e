"""The published 2.2 configs build networks of exactly the published names, shapes and counts.

Counts are those of the hub's safetensors files without what is stored and unused.
"""

from __future__ import annotations

import math
from collections import Counter
from functools import cache

import pytest

from tests.support.jax_networks import expected_shapes
from tests.support.published import published_config

MOVQ_CODEBOOK = 16384 * 4  # quantize.embedding.weight: stored, counted by the hub, never used


@cache
def shapes_of(name: str) -> dict[str, tuple[int, ...]]:
    return expected_shapes(published_config(name))


@pytest.mark.parametrize(
    ("name", "tensors", "parameters"),
    [
        ("unet", 724, 1_253_057_288),
        ("unet_inpaint", 724, 1_253_074_568),
        ("unet_controlnet", 740, 1_253_429_212),
        ("prior", 338, 1_026_225_920),
        ("movq", 431 - 1, 67_832_495 - MOVQ_CODEBOOK),
        ("text_encoder", 517, 694_659_840),
        ("image_encoder", 776, 1_844_907_264),
    ],
)
def test_tensor_and_parameter_counts(name: str, tensors: int, parameters: int) -> None:
    shapes = shapes_of(name)
    assert len(shapes) == tensors
    assert sum(math.prod(shape) for shape in shapes.values()) == parameters


def test_unet_parameters_by_part() -> None:
    parts: Counter[str] = Counter()
    for name, shape in shapes_of("unet").items():
        words = name.split(".")
        part = ".".join(words[:2]) if words[0] in ("down_blocks", "up_blocks") else words[0]
        parts[part] += math.prod(shape)
    assert parts == {
        "conv_in": 14_208,
        "time_embedding": 2_952_192,
        "encoder_hid_proj": 31_483_392,
        "add_embedding": 1_970_688,
        "down_blocks.0": 15_347_712,
        "down_blocks.1": 60_205_056,
        "down_blocks.2": 127_909_248,
        "down_blocks.3": 173_482_752,
        "mid_block": 106_205_184,
        "up_blocks.0": 381_154_560,
        "up_blocks.1": 223_934_976,
        "up_blocks.2": 105_053_184,
        "up_blocks.3": 23_315_712,
        "conv_norm_out": 768,
        "conv_out": 27_656,
    }


def test_movq_parameters_by_half() -> None:
    halves: Counter[str] = Counter()
    for name, shape in shapes_of("movq").items():
        halves[name.split(".")[0]] += math.prod(shape)
    assert halves["encoder"] == 27_397_764
    assert halves["decoder"] == 40_369_155


@pytest.mark.parametrize(
    ("name", "tensor", "shape"),
    [
        ("unet", "down_blocks.0.resnets.0.time_emb_proj.weight", (768, 1536)),
        ("unet", "down_blocks.2.downsamplers.0.conv2.weight", (1152, 1152, 3, 3)),
        ("unet", "down_blocks.3.attentions.2.add_k_proj.weight", (1536, 768)),
        ("unet", "up_blocks.0.resnets.3.conv1.weight", (1536, 2688, 3, 3)),
        ("unet", "up_blocks.3.resnets.0.conv_shortcut.weight", (384, 1152, 1, 1)),
        ("unet", "mid_block.attentions.0.to_out.0.bias", (1536,)),
        ("unet", "encoder_hid_proj.image_embeds.weight", (24576, 1280)),
        ("unet", "add_embedding.image_norm.bias", (1536,)),
        ("unet_inpaint", "conv_in.weight", (384, 9, 3, 3)),
        ("unet_controlnet", "conv_in.weight", (384, 8, 3, 3)),
        ("unet_controlnet", "add_embedding.input_hint_block.0.weight", (16, 3, 3, 3)),
        ("unet_controlnet", "add_embedding.input_hint_block.4.weight", (32, 16, 3, 3)),
        ("unet_controlnet", "add_embedding.input_hint_block.12.bias", (256,)),
        ("unet_controlnet", "add_embedding.input_hint_block.14.weight", (4, 256, 3, 3)),
        ("prior", "positional_embedding", (1, 81, 2048)),
        ("prior", "clip_std", (1, 1280)),
        ("prior", "transformer_blocks.19.ff.net.0.proj.weight", (8192, 2048)),
        ("prior", "transformer_blocks.19.ff.net.2.weight", (2048, 8192)),
        ("movq", "decoder.up_blocks.0.attentions.2.spatial_norm.conv_y.weight", (512, 4, 1, 1)),
        ("movq", "encoder.down_blocks.3.attentions.1.group_norm.weight", (512,)),
        ("movq", "decoder.conv_norm_out.norm_layer.weight", (128,)),
        ("movq", "encoder.conv_out.weight", (4, 512, 3, 3)),
        ("text_encoder", "text_model.embeddings.token_embedding.weight", (49408, 1280)),
        ("text_encoder", "text_model.encoder.layers.31.mlp.fc1.weight", (5120, 1280)),
        ("text_encoder", "text_projection.weight", (1280, 1280)),
        ("image_encoder", "vision_model.embeddings.patch_embedding.weight", (1664, 3, 14, 14)),
        ("image_encoder", "vision_model.embeddings.position_embedding.weight", (257, 1664)),
        ("image_encoder", "vision_model.embeddings.class_embedding", (1664,)),
        ("image_encoder", "vision_model.pre_layrnorm.weight", (1664,)),
    ],
)
def test_names_and_shapes(name: str, tensor: str, shape: tuple[int, ...]) -> None:
    assert shapes_of(name)[tensor] == shape
