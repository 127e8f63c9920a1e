"""The published Kandinsky 2.2 configs, as the fact sheets give them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kandinsky_core.configs import (
    CLIPTextConfig,
    CLIPVisionConfig,
    NetworkConfig,
    PriorTransformerConfig,
    UNet2DConditionConfig,
    VQModelConfig,
)

__all__ = ["CONFIG_CLASSES", "published_config", "published_json"]

_FOLDER = Path(__file__).parent / "data" / "configs" / "2.2"

CONFIG_CLASSES: dict[str, type[NetworkConfig]] = {
    "unet": UNet2DConditionConfig,
    "unet_inpaint": UNet2DConditionConfig,
    "unet_controlnet": UNet2DConditionConfig,
    "prior": PriorTransformerConfig,
    "movq": VQModelConfig,
    "text_encoder": CLIPTextConfig,
    "image_encoder": CLIPVisionConfig,
}


def published_json(name: str) -> dict[str, Any]:
    """The parsed file."""
    parsed: dict[str, Any] = json.loads((_FOLDER / f"{name}.json").read_text("utf-8"))
    return parsed


def published_config(name: str) -> NetworkConfig:
    """The config read from it."""
    return CONFIG_CLASSES[name].from_dict(published_json(name))
