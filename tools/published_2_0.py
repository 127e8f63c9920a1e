"""Known facts of the files of Kandinsky 2.0, which only ai-forever published."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tools.published_component import Published

__all__ = ["PUBLISHED_2_0"]

_UNET: dict[str, Any] = {
    "attention_head_dim": 64,
    "block_out_channels": [384, 768, 1152, 1536],
    "cross_attention_dim": 768,
    "down_block_types": ["ResnetDownsampleBlock2D", *["SimpleCrossAttnDownBlock2D"] * 3],
    "encoder_hid_dim": 1024,
    "encoder_hid_dim_2": 512,
    "in_channels": 4,
    "layers_per_block": 3,
    "mid_block_type": "UNetMidBlock2DSimpleCrossAttn",
    "norm_num_groups": 32,
    "out_channels": 8,
    "resnet_time_scale_shift": "scale_shift",
    "sample_size": 64,
    "text_embed_dim": 640,
    "up_block_types": [*["SimpleCrossAttnUpBlock2D"] * 3, "ResnetUpsampleBlock2D"],
    "addition_embed_type": "two_texts",
    "encoder_hid_dim_type": "two_texts_proj",
}
# The original's half precision leaves out what time and norms are computed with.
_IN_FLOAT32 = tuple(
    f"{layer}.{leaf}"
    for layer in (
        "conv_norm_out",
        "conv_out",
        "group_norm",
        "norm1",
        "norm2",
        "time_emb_proj",
        "time_embedding.linear_1",
        "time_embedding.linear_2",
    )
    for leaf in ("weight", "bias")
)
# Of the 604 original tensors 22 pairs of queries, keys and values are fused, as in 2.1.
_TENSORS = 604 + 22 * 6


def _unet(parameters: int, file: str, digest: str, **changes: Any) -> Published:
    return Published(
        version="2.0",
        class_name="Kandinsky20UNet",
        config={**_UNET, **changes},
        tensors=_TENSORS,
        parameters=parameters,
        dtype="F16",
        kept_in_float32=_IN_FLOAT32,
        files={file: digest},
    )


PUBLISHED_2_0: Mapping[str, Published] = {
    "Kandinsky_2.0/unet": _unet(
        1_223_352_584,
        "Kandinsky-2-0.pt",
        "40552b65e26bb9283e027cb007077d3a9de1cc12aaadcf9cc98ae9f2ae33264f",
    ),
    "Kandinsky_2.0/unet_inpainting": _unet(
        1_223_369_864,
        "Kandinsky-2-0-inpainting.pt",
        "38bf6d53435b913633a68db0d0e4e9f752129b67d8b0113232a31b1377449bfb",
        in_channels=9,
    ),
    "Kandinsky_2.0/vae": Published(
        version="2.0",
        class_name="AutoencoderKL",
        config={
            "block_out_channels": [128, 256, 512, 512],
            "down_block_types": ["DownEncoderBlock2D"] * 4,
            "in_channels": 3,
            "latent_channels": 4,
            "layers_per_block": 2,
            "norm_num_groups": 32,
            "out_channels": 3,
            "scaling_factor": 0.0512,
            "up_block_types": ["UpDecoderBlock2D"] * 4,
        },
        tensors=248,
        parameters=83_653_863,
        files={"vae.ckpt": "c9890a9697c53045ad52965b33aadc3429d43a644c9af4c01ede3d551f3adf0a"},
    ),
    "Kandinsky_2.0/text_encoder1": Published(
        version="2.0",
        class_name="MultilingualCLIP",
        config={
            "hidden_act": "gelu",
            "hidden_size": 1024,
            "imageDimSize": 640,
            "intermediate_size": 4096,
            "layer_norm_eps": 1e-05,
            "max_position_embeddings": 514,
            "num_attention_heads": 16,
            "num_hidden_layers": 24,
            "pad_token_id": 1,
            "type_vocab_size": 1,
            "vocab_size": 250002,
        },
        tensors=394,
        parameters=560_546_432,
        buffers={"transformer.embeddings.position_ids": (1, 514)},
    ),
    # The file holds the decoder of mT5 too, 300,176,768 values in all.
    "Kandinsky_2.0/text_encoder2": Published(
        version="2.0",
        class_name="MT5EncoderModel",
        config={
            "d_ff": 1024,
            "d_kv": 64,
            "d_model": 512,
            "feed_forward_proj": "gated-gelu",
            "layer_norm_epsilon": 1e-06,
            "num_heads": 6,
            "num_layers": 8,
            "relative_attention_max_distance": 128,
            "relative_attention_num_buckets": 32,
            "vocab_size": 250112,
        },
        tensors=75,
        parameters=146_940_608,
    ),
}
"""Each component by the repository of `ai-forever` and its part."""
