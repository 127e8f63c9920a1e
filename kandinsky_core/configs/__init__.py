"""Frozen dataclasses of the networks' config.json files, neutral of any framework."""

from __future__ import annotations

from collections.abc import Mapping

from kandinsky_core.configs.base import NetworkConfig
from kandinsky_core.configs.clip import CLIPTextConfig, CLIPVisionConfig
from kandinsky_core.configs.diffusion import (
    PriorTransformerConfig,
    UNet2DConditionConfig,
    VQModelConfig,
)
from kandinsky_core.configs.kandinsky3 import Kandinsky3UNetConfig
from kandinsky_core.configs.multilingual_clip import MultilingualCLIPConfig
from kandinsky_core.configs.t5 import T5Config

__all__ = [
    "NETWORK_CONFIGS",
    "CLIPTextConfig",
    "CLIPVisionConfig",
    "Kandinsky3UNetConfig",
    "MultilingualCLIPConfig",
    "NetworkConfig",
    "PriorTransformerConfig",
    "T5Config",
    "UNet2DConditionConfig",
    "VQModelConfig",
]

NETWORK_CONFIGS: Mapping[str, type[NetworkConfig]] = {
    config.CLASS_NAME: config
    for config in (
        CLIPTextConfig,
        CLIPVisionConfig,
        Kandinsky3UNetConfig,
        MultilingualCLIPConfig,
        PriorTransformerConfig,
        T5Config,
        UNet2DConditionConfig,
        VQModelConfig,
    )
}
"""The networks of all families, by class name."""
