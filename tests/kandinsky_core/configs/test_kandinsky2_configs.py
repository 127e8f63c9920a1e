"""Reading config.json: what is accepted, what is refused, and what the refusal says."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kandinsky_core.configs import (
    CLIPTextConfig,
    CLIPVisionConfig,
    UNet2DConditionConfig,
    VQModelConfig,
)
from kandinsky_core.errors import ConfigError
from tests.support.published import CONFIG_CLASSES, published_config, published_json

FIXED_FIELDS = [
    (name, field) for name, config_class in CONFIG_CLASSES.items() for field in config_class.FIXED
]
VARYING_FIELDS = [
    (name, field.name)
    for name, config_class in CONFIG_CLASSES.items()
    for field in dataclasses.fields(config_class)  # type: ignore[arg-type]
]
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=5,
)


@pytest.mark.parametrize("name", CONFIG_CLASSES)
def test_published_configs_are_read(name: str) -> None:
    config = published_config(name)
    given_fields = published_json(name)
    for field in dataclasses.fields(config):  # type: ignore[arg-type]
        expected = given_fields.get(field.name, field.default)
        expected = tuple(expected) if isinstance(expected, list) else expected
        assert getattr(config, field.name) == expected


@pytest.mark.parametrize("name", CONFIG_CLASSES)
def test_an_unknown_field_is_named_with_the_class(name: str) -> None:
    config_class = CONFIG_CLASSES[name]
    with pytest.raises(ConfigError, match=rf"{config_class.CLASS_NAME}.*'wings'"):
        config_class.from_dict(published_json(name) | {"wings": 2})


@pytest.mark.parametrize(("name", "field"), FIXED_FIELDS)
def test_another_value_of_a_fixed_field_is_refused(name: str, field: str) -> None:
    config_class = CONFIG_CLASSES[name]
    with pytest.raises(ConfigError, match=rf"field {field} is 'other'; allowed: only") as caught:
        config_class.from_dict(published_json(name) | {field: "other"})
    assert repr(config_class.FIXED[field]) in str(caught.value)


def test_a_fixed_false_is_no_zero() -> None:
    with pytest.raises(ConfigError, match="upcast_attention is 0"):
        UNet2DConditionConfig.from_dict(published_json("unet") | {"upcast_attention": 0})


@pytest.mark.parametrize("name", CONFIG_CLASSES)
def test_the_config_of_another_class_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="_class_name is 'Kandinsky3UNet'; allowed: only"):
        CONFIG_CLASSES[name].from_dict(published_json(name) | {"_class_name": "Kandinsky3UNet"})


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("unet", "mid_block_type"),
        ("unet", "resnet_time_scale_shift"),
        ("unet", "encoder_hid_dim_type"),
        ("movq", "norm_type"),
    ],
)
def test_fields_whose_default_elsewhere_differs_are_required(name: str, field: str) -> None:
    given_fields = published_json(name)
    del given_fields[field]
    with pytest.raises(ConfigError, match=f"lacks {field}"):
        CONFIG_CLASSES[name].from_dict(given_fields)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("unet", {"in_channels": True}, "in_channels is True; allowed: a whole number"),
        ("unet", {"in_channels": 4.0}, "in_channels is 4.0; allowed: a whole number"),
        ("unet", {"layers_per_block": 0}, "layers_per_block is 0; allowed: a whole number from 1"),
        ("unet", {"layers_per_block": 10**9}, "layers_per_block is 1000000000; allowed"),
        ("unet", {"block_out_channels": [384, 768]}, "4 items|2 items"),
        ("unet", {"block_out_channels": [384, 768, 1152, 1000]}, "multiples of 32"),
        ("unet", {"attention_head_dim": 100}, "attention_head_dim is 100; allowed: a divisor"),
        ("unet", {"addition_embed_type": "text"}, "addition_embed_type is 'text'; allowed: 'image"),
        ("unet", {"down_block_types": ["DownBlock2D"] * 4}, "down_block_types"),
        ("prior", {"num_attention_heads": None}, "num_attention_heads is None"),
        ("movq", {"vq_embed_dim": 3}, "vq_embed_dim is 3; allowed: null or 4"),
        ("movq", {"block_out_channels": [128, 256, 256, 528]}, "multiples of 32"),
        ("movq", {"norm_type": "group"}, "norm_type is 'group'; allowed: 'spatial'"),
        ("text_encoder", {"hidden_act": "relu"}, "hidden_act is 'relu'; allowed: 'gelu'"),
        ("text_encoder", {"num_attention_heads": 7}, "a divisor of hidden_size"),
        ("text_encoder", {"layer_norm_eps": math.nan}, "layer_norm_eps is nan"),
        ("image_encoder", {"patch_size": 15}, "a divisor of image_size"),
        ("image_encoder", {"num_attention_heads": 7}, "a divisor of hidden_size"),
    ],
)
def test_values_out_of_range_are_refused(name: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        CONFIG_CLASSES[name].from_dict(published_json(name) | changes)


@given(value=ANY_JSON, place=st.sampled_from(VARYING_FIELDS))
def test_a_corrupted_field_gives_a_config_error_or_none(
    value: object, place: tuple[str, str]
) -> None:
    name, field = place
    message = ""
    try:
        CONFIG_CLASSES[name].from_dict(published_json(name) | {field: value})
    except ConfigError as error:
        message = str(error)
    assert "\n" not in message


@pytest.mark.parametrize("whole", [None, [], "config", 3])
def test_what_is_no_object_is_refused(whole: Any) -> None:
    with pytest.raises(ConfigError, match="a JSON object"):
        VQModelConfig.from_dict(whole)


def test_omitted_clip_fields_take_the_defaults_of_transformers() -> None:
    text, vision = CLIPTextConfig.from_dict({}), CLIPVisionConfig.from_dict({})
    assert (text.hidden_size, text.num_attention_heads, text.hidden_act) == (512, 8, "quick_gelu")
    assert (vision.hidden_size, vision.patch_size, vision.image_size) == (768, 32, 224)


def test_configs_cannot_be_changed() -> None:
    config = published_config("prior")
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.num_layers = 1  # type: ignore[attr-defined]
