"""Small configs of every network, and a call of each that traces all of its programs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kandinsky_core import DDPMScheduler
from kandinsky_core.configs import NETWORKS, NetworkConfig
from kandinsky_core.seam.control import CONTROL_SCALE, CONTROL_WINDOW
from tests.support.kandinsky2_0 import TEXT_ENCODER, TEXT_ENCODER_2, VAE
from tests.support.kandinsky2_0 import UNET as UNET_20
from tests.support.kandinsky3 import MOVQ_JSON, T5_JSON
from tests.support.kandinsky3_ip_adapter_folder import UNET as UNET_3_IP
from tests.support.upscaler_folder import UPSCALER

__all__ = ["NETWORKS_BY_NAME", "SmallNetwork"]


@dataclass(frozen=True, slots=True)
class SmallNetwork:
    """A network and its call.

    Attributes:
        class_name: Its class.
        fields: Its config.
        call: Calls a component of it.
        beside: The config of a ControlNet that runs with it, if there is one.
    """

    class_name: str
    fields: Mapping[str, Any]
    call: Callable[[Any], Any]
    beside: Mapping[str, Any] | None = None

    @property
    def config(self) -> NetworkConfig:
        """The config read from the fields."""
        return NETWORKS[self.class_name].config.from_dict(dict(self.fields))


def _zeros(*shape: int, dtype: Any = np.float32) -> Any:
    return np.zeros(shape, dtype)


def _stepping(conditioning: Mapping[str, Any], sample: Any) -> Callable[[Any], None]:
    def call(network: Any) -> None:
        schedule = DDPMScheduler().schedule(2)
        run = network.begin(sample, conditioning, 4.0, rule=schedule.rule)
        run.step(float(schedule.timesteps[0]), schedule.rows[0], sample)

    return call


_UNET: dict[str, Any] = {
    "in_channels": 4,
    "out_channels": 8,
    "block_out_channels": [32, 64],
    "layers_per_block": 1,
    "down_block_types": ["ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"],
    "mid_block_type": "UNetMidBlock2DSimpleCrossAttn",
    "up_block_types": ["SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"],
    "resnet_time_scale_shift": "scale_shift",
    "attention_head_dim": 8,
    "cross_attention_dim": 32,
    "encoder_hid_dim": 24,
}
_OF_22 = {"addition_embed_type": "image", "encoder_hid_dim_type": "image_proj"}
_OF_21 = {"addition_embed_type": "text_image", "encoder_hid_dim_type": "text_image_proj"}
_CLIP: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 56,
    "projection_dim": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "hidden_act": "gelu",
}
_PRIOR = {
    "num_attention_heads": 2,
    "attention_head_dim": 16,
    "num_layers": 2,
    "embedding_dim": 32,
    "num_embeddings": 77,
    "additional_embeddings": 4,
}
_MOVQ = MOVQ_JSON | {
    "block_out_channels": [32, 64],
    "down_block_types": ["DownEncoderBlock2D", "AttnDownEncoderBlock2D"],
    "up_block_types": ["AttnUpDecoderBlock2D", "UpDecoderBlock2D"],
    "layers_per_block": 1,
    "norm_num_groups": 8,
    "num_vq_embeddings": 12,
}
_T5 = T5_JSON | {"d_ff": 48, "d_kv": 8, "d_model": 32, "num_heads": 4, "num_layers": 2}
_T5 |= {"vocab_size": 99}
_UNET_3 = {
    name: value
    for name, value in UNET_3_IP.items()
    if name not in ("_class_name", "image_embed_dim", "num_image_tokens")
} | {"block_out_channels": [16, 32], "time_embedding_dim": 16}
_SAMPLE = _zeros(1, 4, 8, 8)
_OF_3: dict[str, Any] = {
    "text_encoder_hidden_states": _zeros(2, 5, 24),
    "attention_mask": np.ones((2, 5), np.bool_),
}
_IDS = _zeros(1, 7, dtype=np.int32)
_CONTROL = {
    "hint": _zeros(2, 3, 64, 64),
    CONTROL_SCALE.format(0): _zeros(2, 1, 4, 4),
    CONTROL_WINDOW: _zeros(2, 2),
}


def _both_ways(autoencoder: Any) -> None:
    autoencoder.encode(_zeros(1, 3, 64, 64))
    autoencoder.decode(_zeros(1, 4, 8, 8))


def _masked(encoder: Any) -> None:
    encoder.encode(_IDS, np.ones_like(_IDS))


def _text(encoder: Any) -> None:
    encoder.encode(_zeros(1, 77, dtype=np.int32))


NETWORKS_BY_NAME: Mapping[str, SmallNetwork] = {
    "2.2 unet": SmallNetwork(
        "UNet2DConditionModel",
        _UNET | _OF_22,
        _stepping({"image_embeds": _zeros(2, 24)}, _SAMPLE),
    ),
    "2.2 unet with a hint": SmallNetwork(
        "UNet2DConditionModel",
        _UNET | _OF_22 | {"in_channels": 8, "addition_embed_type": "image_hint"},
        _stepping({"image_embeds": _zeros(2, 24), "hint": _zeros(2, 3, 64, 64)}, _SAMPLE),
    ),
    "2.2 prior": SmallNetwork(
        "PriorTransformer",
        _PRIOR,
        _stepping(
            {
                "prompt_embeds": _zeros(2, 32),
                "text_encoder_hidden_states": _zeros(2, 77, 32),
                "text_mask": np.ones((2, 77), np.bool_),
            },
            _zeros(1, 32),
        ),
    ),
    "movq": SmallNetwork("VQModel", _MOVQ, _both_ways),
    "clip text": SmallNetwork(
        "CLIPTextModelWithProjection",
        _CLIP | {"vocab_size": 120, "max_position_embeddings": 77},
        _text,
    ),
    "clip vision": SmallNetwork(
        "CLIPVisionModelWithProjection",
        _CLIP | {"image_size": 28, "patch_size": 14},
        lambda encoder: encoder.encode(_zeros(1, 3, 28, 28)),
    ),
    "2.1 unet": SmallNetwork(
        "UNet2DConditionModel",
        _UNET | _OF_21,
        _stepping(
            {
                "image_embeds": _zeros(2, 32),
                "text_embeds": _zeros(2, 32),
                "text_encoder_hidden_states": _zeros(2, 77, 24),
            },
            _SAMPLE,
        ),
    ),
    "2.1 text": SmallNetwork("MultilingualCLIP", TEXT_ENCODER, _masked),
    "2.0 unet": SmallNetwork(
        "Kandinsky20UNet",
        UNET_20,
        _stepping(
            {
                "text_embeds": _zeros(2, 24),
                "text_encoder_hidden_states": _zeros(2, 7, 32),
                "text_encoder_hidden_states_2": _zeros(2, 7, 64),
            },
            _SAMPLE,
        ),
    ),
    "2.0 text": SmallNetwork("MT5EncoderModel", TEXT_ENCODER_2, _masked),
    "2.0 vae": SmallNetwork("AutoencoderKL", VAE, _both_ways),
    "3 unet with pictures and a controlnet": SmallNetwork(
        "Kandinsky3UNet",
        _UNET_3 | {"image_embed_dim": 16, "num_image_tokens": 4},
        _stepping(
            _OF_3 | _CONTROL | {"image_embeds": _zeros(2, 16), "image_weight": _zeros(2)}, _SAMPLE
        ),
        beside=_UNET_3,
    ),
    "3 text": SmallNetwork("T5EncoderModel", _T5, _masked),
    "super resolution": SmallNetwork(
        "KandinskySuperResUNet",
        UPSCALER,
        _stepping({"image_latents": _zeros(2, 3, 16, 16)}, _zeros(1, 3, 16, 16)),
    ),
}
"""Networks by names of their own; a test says that no class is missing."""
