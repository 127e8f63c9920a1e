"""Known facts of the published checkpoints: configs, counts, sizes and digests.

They come from the fact sheets of the project, which say how each fact was confirmed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tools.published_2_0 import PUBLISHED_2_0
from tools.published_adapters import PUBLISHED_ADAPTERS, UNET_3
from tools.published_component import Published

__all__ = ["PUBLISHED"]

_DIFFUSERS = "diffusion_pytorch_model.safetensors"
_DIFFUSERS_BIN = "diffusion_pytorch_model.bin"
_TRANSFORMERS = "model.safetensors"

_UNET_22: dict[str, Any] = {
    "act_fn": "silu",
    "addition_embed_type": "image",
    "addition_embed_type_num_heads": 64,
    "attention_head_dim": 64,
    "block_out_channels": [384, 768, 1152, 1536],
    "center_input_sample": False,
    "class_embed_type": None,
    "class_embeddings_concat": False,
    "conv_in_kernel": 3,
    "conv_out_kernel": 3,
    "cross_attention_dim": 768,
    "cross_attention_norm": None,
    "down_block_types": ["ResnetDownsampleBlock2D", *["SimpleCrossAttnDownBlock2D"] * 3],
    "downsample_padding": 1,
    "dual_cross_attention": False,
    "encoder_hid_dim": 1280,
    "encoder_hid_dim_type": "image_proj",
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "in_channels": 4,
    "layers_per_block": 3,
    "mid_block_only_cross_attention": None,
    "mid_block_scale_factor": 1,
    "mid_block_type": "UNetMidBlock2DSimpleCrossAttn",
    "norm_eps": 1e-05,
    "norm_num_groups": 32,
    "num_class_embeds": None,
    "only_cross_attention": False,
    "out_channels": 8,
    "projection_class_embeddings_input_dim": None,
    "resnet_out_scale_factor": 1.0,
    "resnet_skip_time_act": False,
    "resnet_time_scale_shift": "scale_shift",
    "sample_size": 64,
    "time_cond_proj_dim": None,
    "time_embedding_act_fn": None,
    "time_embedding_dim": None,
    "time_embedding_type": "positional",
    "timestep_post_act": None,
    "up_block_types": [*["SimpleCrossAttnUpBlock2D"] * 3, "ResnetUpsampleBlock2D"],
    "upcast_attention": False,
    "use_linear_projection": False,
}
_UNET_21 = _UNET_22 | {
    "addition_embed_type": "text_image",
    "encoder_hid_dim": 1024,
    "encoder_hid_dim_type": "text_image_proj",
}
_MOVQ: dict[str, Any] = {
    "act_fn": "silu",
    "block_out_channels": [128, 256, 256, 512],
    "down_block_types": [*["DownEncoderBlock2D"] * 3, "AttnDownEncoderBlock2D"],
    "in_channels": 3,
    "latent_channels": 4,
    "layers_per_block": 2,
    "norm_num_groups": 32,
    "norm_type": "spatial",
    "num_vq_embeddings": 16384,
    "out_channels": 3,
    "sample_size": 32,
    "scaling_factor": 0.18215,
    "up_block_types": ["AttnUpDecoderBlock2D", *["UpDecoderBlock2D"] * 3],
    "vq_embed_dim": 4,
}
_PRIOR: dict[str, Any] = {
    "additional_embeddings": 4,
    "attention_head_dim": 64,
    "dropout": 0.0,
    "embedding_dim": 1280,
    "num_attention_heads": 32,
    "num_embeddings": 77,
    "num_layers": 20,
}
_CLIP_TEXT: dict[str, Any] = {
    "eos_token_id": 2,
    "hidden_act": "gelu",
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "layer_norm_eps": 1e-05,
    "max_position_embeddings": 77,
    "num_attention_heads": 20,
    "num_hidden_layers": 32,
    "projection_dim": 1280,
    "vocab_size": 49408,
}
_CLIP_VISION: dict[str, Any] = {
    "hidden_act": "gelu",
    "hidden_size": 1664,
    "image_size": 224,
    "intermediate_size": 8192,
    "layer_norm_eps": 1e-05,
    "num_attention_heads": 16,
    "num_hidden_layers": 48,
    "patch_size": 14,
    "projection_dim": 1280,
}
_TEXT_BUFFER = {"text_model.embeddings.position_ids": (1, 77)}
_VISION_BUFFER = {"vision_model.embeddings.position_ids": (1, 257)}


def _unet(version: str, config: dict[str, Any], parameters: int, **facts: Any) -> Published:
    return Published(
        version=version,
        class_name="UNet2DConditionModel",
        config=config,
        parameters=parameters,
        **facts,
    )


def _movq(version: str, **facts: Any) -> Published:
    return Published(
        version=version,
        class_name="VQModel",
        config=_MOVQ,
        tensors=431,
        parameters=67_832_495,
        **facts,
    )


PUBLISHED: Mapping[str, Published] = {
    **PUBLISHED_2_0,
    "kandinsky-2-1/unet": _unet(
        "2.1",
        _UNET_21,
        1_228_661_768,
        tensors=726,
        header_bytes=80_650,
        bytes=4_914_727_722,
        files={_DIFFUSERS: "6a963e1be76a02b71fce27ad8321b42f707ba8fe9839f1696aeb4f36a48a7604"},
    ),
    "kandinsky-2-1-inpaint/unet": _unet(
        "2.1",
        _UNET_21 | {"in_channels": 9},
        1_228_679_048,
        tensors=726,
        header_bytes=80_650,
        bytes=4_914_796_842,
        files={_DIFFUSERS: "4afb3db78b582d2a86e915e917c095c8e39d4412ab1f86374f4bd04a2dd9cce9"},
    ),
    "kandinsky-2-1/movq": _movq(
        "2.1",
        header_bytes=50_382,
        bytes=271_380_362,
        files={_DIFFUSERS: "667319216c14764042b3e7cae7c4d1a309a409a674d413144e9ac65b572c6ea8"},
    ),
    "kandinsky-2-1/text_encoder": Published(
        version="2.1",
        class_name="MultilingualCLIP",
        config={
            "hidden_act": "gelu",
            "hidden_size": 1024,
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
        parameters=560_677_632,
        header_bytes=50_426,
        bytes=2_242_765_066,
        buffers={"transformer.embeddings.position_ids": (1, 514)},
        files={_TRANSFORMERS: "6fd189d4154f9b69e0c39fc32276b9dd19fe273d865a8f5ae76bfadba69f9e6b"},
    ),
    "kandinsky-2-1-prior/prior": Published(
        version="2.1",
        class_name="PriorTransformer",
        config=_PRIOR | {"embedding_dim": 768},
        tensors=338,
        parameters=1_022_030_080,
        header_bytes=37_266,
        bytes=4_088_157_586,
        files={_DIFFUSERS: "aa32db75088505621b610571883628eebedc9d1275432e326f2fac50498808c2"},
    ),
    "kandinsky-2-1-prior/text_encoder": Published(
        version="2.1",
        class_name="CLIPTextModelWithProjection",
        config=_CLIP_TEXT
        | {
            "hidden_act": "quick_gelu",
            "hidden_size": 768,
            "intermediate_size": 3072,
            "num_attention_heads": 12,
            "num_hidden_layers": 12,
            "projection_dim": 768,
        },
        tensors=198,
        parameters=123_650_304,
        header_bytes=23_434,
        bytes=494_625_266,
        buffers=_TEXT_BUFFER,
        files={_TRANSFORMERS: "2e568d33be62b67cb87bc3e9ca57502b85d33070b43ab3d7eb0e3bfd171a84f1"},
    ),
    "kandinsky-2-1-prior/image_encoder": Published(
        version="2.1",
        class_name="CLIPVisionModelWithProjection",
        config=_CLIP_VISION
        | {
            "hidden_act": "quick_gelu",
            "hidden_size": 1024,
            "intermediate_size": 4096,
            "num_hidden_layers": 24,
            "projection_dim": 768,
        },
        tensors=393,
        parameters=303_966_208,
        header_bytes=47_994,
        bytes=1_215_914_882,
        buffers=_VISION_BUFFER,
        files={_TRANSFORMERS: "12daabb57c3373c5623377d13acba94c424266d14102dd5fae58a59c08317a8f"},
    ),
    "kandinsky-2-2-decoder/unet": _unet(
        "2.2",
        _UNET_22,
        1_253_057_288,
        tensors=724,
        header_bytes=80_432,
        bytes=5_012_309_584,
        files={_DIFFUSERS: "3cc2f07442b9de0f18fb3f22247790872c094c4acc9dbe68552f96fd2e5c1ea1"},
    ),
    "kandinsky-2-2-decoder-inpaint/unet": _unet(
        "2.2",
        _UNET_22 | {"in_channels": 9},
        1_253_074_568,
        tensors=724,
        header_bytes=80_432,
        bytes=5_012_378_704,
        files={_DIFFUSERS: "098b846d2378b4b44a33e0bd47f89f2886b72a10200cbf9e96d5fae3c471543f"},
    ),
    "kandinsky-2-2-controlnet-depth/unet": _unet(
        "2.2",
        _UNET_22 | {"in_channels": 8, "addition_embed_type": "image_hint"},
        1_253_429_212,
        tensors=740,
        header_bytes=82_144,
        bytes=5_013_798_992,
        files={
            _DIFFUSERS: "6549f8c8471357ed8ed6b700a80ffdd8fe45bd5b54f4c486d7f81ac9fe5f343b",
            _DIFFUSERS_BIN: "3418cd4f977d51ec902d095ff67482232c6097edfd91b474443148113b8f8a36",
        },
    ),
    "kandinsky-2-2-decoder/movq": _movq(
        "2.2",
        header_bytes=50_384,
        bytes=271_380_364,
        files={
            _DIFFUSERS: "43a5860fea195a7116f2471396c5cc9535fade9b63c4857d8a192ffd924b7002",
            _DIFFUSERS_BIN: "772e09739d742ddee6807add2d3c2fd2a32db53896b5d07a92c729d8c879ce59",
        },
    ),
    "kandinsky-2-2-prior/prior": Published(
        version="2.2",
        class_name="PriorTransformer",
        config=_PRIOR,
        tensors=338,
        parameters=1_026_225_920,
        header_bytes=37_288,
        bytes=4_104_940_968,
        files={_DIFFUSERS: "ab139b2df9e40ed0b1eda8dc6270a139a796c5fa3af76cd6b0573f620dca6dde"},
    ),
    "kandinsky-2-2-prior/text_encoder": Published(
        version="2.2",
        class_name="CLIPTextModelWithProjection",
        config=_CLIP_TEXT,
        tensors=518,
        parameters=694_659_840,
        header_bytes=63_000,
        bytes=2_778_702_976,
        buffers=_TEXT_BUFFER,
        files={_TRANSFORMERS: "6eaafeea664d7ab87df17274d6114dfdf092c587c7cd56c13cf84aacdebc0332"},
    ),
    "kandinsky-2-2-prior/image_encoder": Published(
        version="2.2",
        class_name="CLIPVisionModelWithProjection",
        config=_CLIP_VISION,
        tensors=777,
        parameters=1_844_907_264,
        dtype="F16",
        header_bytes=96_080,
        bytes=3_689_912_664,
        buffers=_VISION_BUFFER,
        files={_TRANSFORMERS: "657723e09f46a7c3957df651601029f66b1748afb12b419816330f16ed45d64d"},
    ),
    "kandinsky-3/unet": Published(
        version="3.0",
        class_name="Kandinsky3UNet",
        config=UNET_3,
        tensors=1071,
        parameters=3_055_348_228,
        dtype="F16",
    ),
    "kandinsky-3/movq": Published(
        version="3.0",
        class_name="VQModel",
        config=_MOVQ | {"block_out_channels": [256, 512, 512, 1024]},
        tensors=431,
        parameters=270_603_567 + 16384 * 4,  # the original has no codebook
        dtype="F16",
    ),
    "kandinsky-3/text_encoder": Published(
        version="3.0",
        class_name="T5EncoderModel",
        config={
            "d_ff": 16384,
            "d_kv": 256,
            "d_model": 4096,
            "feed_forward_proj": "gated-silu",
            "layer_norm_epsilon": 1e-06,
            "num_heads": 16,
            "num_layers": 32,
            "relative_attention_max_distance": 128,
            "relative_attention_num_buckets": 32,
            "vocab_size": 32128,
        },
        tensors=291,
        parameters=8_721_797_632,
        dtype="F16",
        kept_in_float32=(".wo.weight",),
    ),
    # The original has 1068 tensors, and its projection has three more.
    "Kandinsky3.1/kandinsky3_inpainting": Published(
        version="3.1",
        class_name="Kandinsky3UNet",
        config=UNET_3 | {"in_channels": 9, "out_channels": 4},
        tensors=1071,
        parameters=3_038_571_460 + 16_785_408,
    ),
    **PUBLISHED_ADAPTERS,
    "KandiSuperRes/unet": Published(
        version="KandiSuperRes",
        class_name="KandinskySuperResUNet",
        config={
            "scale": 4,
            "sample_size": 1024,
            "in_channels": 6,
            "out_channels": 3,
            "init_channels": 128,
            "block_out_channels": [128, 256, 512, 1024],
            "layers_per_block": [2, 4, 8, 8],
            "time_embedding_dim": 512,
            "groups": 32,
        },
        tensors=496,
        parameters=413_205_251,
        dtype="F16",
    ),
}
"""Each component whose tensors are known, by its repository of `kandinsky-community` and folder.

A component that only ai-forever published stands here by its repository and file.
"""
