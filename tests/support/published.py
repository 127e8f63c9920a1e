"""The published configs, as the fact sheets give them: 2.2's by plain names, 2.1's as `2.1/unet`.

Of 2.1's MoVQ the file is that of 2.2. The text of the multilingual encoder's is not known: here is
what its tensors say of it, and what XLM-RoBERTa-large has. That of the spare DDPM scheduler of 2.1
is what its proposal said.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kandinsky_core.configs import (
    CLIPTextConfig,
    CLIPVisionConfig,
    MultilingualCLIPConfig,
    NetworkConfig,
    PriorTransformerConfig,
    UNet2DConditionConfig,
    VQModelConfig,
)

__all__ = ["CONFIG_CLASSES", "published_config", "published_json"]

_FOLDER = Path(__file__).parents[1] / "data" / "configs"

CONFIG_CLASSES: dict[str, type[NetworkConfig]] = {
    "unet": UNet2DConditionConfig,
    "unet_inpaint": UNet2DConditionConfig,
    "unet_controlnet": UNet2DConditionConfig,
    "prior": PriorTransformerConfig,
    "movq": VQModelConfig,
    "text_encoder": CLIPTextConfig,
    "image_encoder": CLIPVisionConfig,
    "2.1/unet": UNet2DConditionConfig,
    "2.1/unet_inpaint": UNet2DConditionConfig,
    "2.1/prior": PriorTransformerConfig,
    "2.1/text_encoder": CLIPTextConfig,
    "2.1/image_encoder": CLIPVisionConfig,
    "2.1/multilingual_text_encoder": MultilingualCLIPConfig,
}


def published_json(name: str) -> dict[str, Any]:
    """The parsed file."""
    file = _FOLDER / f"{name if '/' in name else f'2.2/{name}'}.json"
    parsed: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return parsed


def published_config(name: str) -> NetworkConfig:
    """The config read from it."""
    return CONFIG_CLASSES[name].from_dict(published_json(name))
