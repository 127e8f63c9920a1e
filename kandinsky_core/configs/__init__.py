"""Frozen dataclasses of the networks' config.json files, neutral of any framework."""

from __future__ import annotations

from kandinsky_core.configs.base import NetworkConfig
from kandinsky_core.configs.clip import CLIPTextConfig, CLIPVisionConfig
from kandinsky_core.configs.diffusion import (
    PriorTransformerConfig,
    UNet2DConditionConfig,
    VQModelConfig,
)
from kandinsky_core.configs.kandinsky2_0 import AutoencoderKLConfig, Kandinsky20UNetConfig
from kandinsky_core.configs.kandinsky3 import Kandinsky3UNetConfig
from kandinsky_core.configs.kandinsky3_controlnet import Kandinsky3ControlNetConfig
from kandinsky_core.configs.multilingual_clip import MultilingualCLIPConfig
from kandinsky_core.configs.networks import NETWORKS, NetworkClass
from kandinsky_core.configs.super_resolution import SuperResUNetConfig
from kandinsky_core.configs.t5 import MT5Config, T5Config

__all__ = [
    "NETWORKS",
    "AutoencoderKLConfig",
    "CLIPTextConfig",
    "CLIPVisionConfig",
    "Kandinsky3ControlNetConfig",
    "Kandinsky3UNetConfig",
    "Kandinsky20UNetConfig",
    "MT5Config",
    "MultilingualCLIPConfig",
    "NetworkClass",
    "NetworkConfig",
    "PriorTransformerConfig",
    "SuperResUNetConfig",
    "T5Config",
    "UNet2DConditionConfig",
    "VQModelConfig",
]
