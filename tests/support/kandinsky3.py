"""The published configs of Kandinsky 3, as the fact sheets give them."""

from __future__ import annotations

from typing import Any

__all__ = ["MOVQ_JSON", "T5_JSON", "UNET_JSON"]

UNET_JSON: dict[str, Any] = {
    "_class_name": "Kandinsky3UNet",
    "_diffusers_version": "0.24.0.dev0",
    "attention_head_dim": 64,
    "block_out_channels": [384, 768, 1536, 3072],
    "cross_attention_dim": 4096,
    "encoder_hid_dim": 4096,
    "groups": 32,
    "in_channels": 4,
    "layers_per_block": 3,
    "time_embedding_dim": 1536,
}
T5_JSON: dict[str, Any] = {
    "architectures": ["T5EncoderModel"],
    "classifier_dropout": 0.0,
    "d_ff": 16384,
    "d_kv": 256,
    "d_model": 4096,
    "decoder_start_token_id": 0,
    "dense_act_fn": "silu",
    "dropout_rate": 0.0,
    "eos_token_id": 1,
    "feed_forward_proj": "gated-silu",
    "initializer_factor": 1.0,
    "is_encoder_decoder": True,
    "is_gated_act": True,
    "layer_norm_epsilon": 1e-06,
    "model_type": "t5",
    "num_decoder_layers": 32,
    "num_heads": 16,
    "num_layers": 32,
    "output_past": True,
    "pad_token_id": 0,
    "relative_attention_max_distance": 128,
    "relative_attention_num_buckets": 32,
    "tie_word_embeddings": False,
    "torch_dtype": "float16",
    "transformers_version": "4.34.1",
    "use_cache": True,
    "vocab_size": 32128,
}
MOVQ_JSON: dict[str, Any] = {
    "_class_name": "VQModel",
    "_diffusers_version": "0.24.0.dev0",
    "act_fn": "silu",
    "block_out_channels": [256, 512, 512, 1024],
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
