"""Configs of Kandinsky 3's networks: the published files, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from kandinsky_core.configs import Kandinsky3UNetConfig, NetworkConfig, T5Config
from kandinsky_core.errors import ConfigError
from tests.support.kandinsky3 import T5_JSON, UNET_JSON


def test_the_published_unet() -> None:
    config = Kandinsky3UNetConfig.from_dict(UNET_JSON)
    assert config == Kandinsky3UNetConfig()
    assert (config.init_channels, config.latent_channels, config.image_latents) == (192, 4, 0)
    assert config.size_multiple == 8


def test_the_unet_for_inpainting() -> None:
    config = Kandinsky3UNetConfig.from_dict(UNET_JSON | {"in_channels": 9, "out_channels": 4})
    assert (config.latent_channels, config.image_latents) == (4, 5)


def test_a_file_without_out_channels_has_as_many_as_in() -> None:
    """As in diffusers, where nine in would be nine out."""
    assert Kandinsky3UNetConfig.from_dict({"in_channels": 9}).out_channels == 9
    assert Kandinsky3UNetConfig.from_dict({}).out_channels == 4


def test_the_published_text_encoder() -> None:
    config = T5Config.from_dict(T5_JSON)
    assert (config.d_model, config.inner_dim, config.num_layers) == (4096, 4096, 32)


@pytest.mark.parametrize(
    ("config_class", "raw", "message"),
    [
        (Kandinsky3UNetConfig, {"block_out_channels": [64, 96]}, "multiples of 64"),
        (Kandinsky3UNetConfig, {"block_out_channels": [64] * 5}, "at most 4 items"),
        (Kandinsky3UNetConfig, {"groups": 1, "block_out_channels": [6]}, "a first width of at"),
        (Kandinsky3UNetConfig, {"attention_head_dim": 80}, "a divisor of the widths"),
        (
            Kandinsky3UNetConfig,
            {"groups": 2, "attention_head_dim": 64, "block_out_channels": [64, 128]},
            r"\[32, 64, 128, 1536\]",
        ),
        (Kandinsky3UNetConfig, {"out_channels": 5}, "at most in_channels, which is 4"),
        (Kandinsky3UNetConfig, {"layers_per_block": 1}, "from 2 to 1000"),
        (Kandinsky3UNetConfig, {"layers_per_block": [3, 3]}, "from 2 to 1000"),
        (Kandinsky3UNetConfig, {"model_channels": 384}, "unknown config field 'model_channels'"),
        (T5Config, {}, "lacks feed_forward_proj"),
        (T5Config, {"feed_forward_proj": "relu"}, "'gated-silu' or 'gated-gelu'"),
        (T5Config, T5_JSON | {"is_gated_act": False}, "only True"),
        (T5Config, T5_JSON | {"relative_attention_num_buckets": 30}, "a multiple of 4"),
        (T5Config, T5_JSON | {"relative_attention_max_distance": 8}, "more than 8"),
    ],
)
def test_what_does_not_fit_is_refused(
    config_class: type[NetworkConfig], raw: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        config_class.from_dict(raw)
