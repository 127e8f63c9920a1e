"""Known facts of what was published around Kandinsky 3; see `tools.published`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tools.published_component import Published

__all__ = ["PUBLISHED_ADAPTERS", "UNET_3"]

UNET_3: dict[str, Any] = {
    "attention_head_dim": 64,
    "block_out_channels": [384, 768, 1536, 3072],
    "cross_attention_dim": 4096,
    "encoder_hid_dim": 4096,
    "groups": 32,
    "in_channels": 4,
    "layers_per_block": 3,
    "time_embedding_dim": 1536,
}
"""The config of the UNet of Kandinsky 3."""

PUBLISHED_ADAPTERS: Mapping[str, Published] = {
    "kandinsky3_controlnet_v2/unet_controlnet": Published(
        version="3.0",
        class_name="Kandinsky3ControlNetModel",
        config=UNET_3 | {"hint_channels": 3},
        tensors=418,
        parameters=469_613_584,
        dtype="BF16",
    ),
    "kandinsky3_controlnet_hed/unet": Published(
        version="3.0",
        class_name="Kandinsky3UNet",
        config=UNET_3 | {"hint_channels": 3},
        tensors=1087,
        parameters=3_056_139_668,
    ),
    # 112 tensors more than the UNet of kandinsky-3, under our names
    "kandinsky3_ip_adapter/unet": Published(
        version="3.0",
        class_name="Kandinsky3UNet",
        config=UNET_3 | {"image_embed_dim": 768, "num_image_tokens": 4},
        tensors=1071 + 112,
        parameters=3_434_340_100,
    ),
}
"""Facts by the repository of ai-forever and the folder in it; depth and scribble are alike."""
