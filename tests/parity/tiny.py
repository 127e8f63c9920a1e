"""Tiny PyTorch models of each network, with every parameter disturbed, and their twins in JAX.

PyTorch starts biases at zero, norms at one and a few tables at zero; a port that forgot one of
those would pass. So all parameters get noise here, which keeps activations of order one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tests.support.dict_tensors import DictTensors

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")
transformers = pytest.importorskip("transformers")

UNET = {
    "in_channels": 4,
    "out_channels": 8,
    "block_out_channels": (32, 64),
    "layers_per_block": 1,
    "down_block_types": ("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
    "mid_block_type": "UNetMidBlock2DSimpleCrossAttn",
    "up_block_types": ("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
    "resnet_time_scale_shift": "scale_shift",
    "attention_head_dim": 4,
    "cross_attention_dim": 32,
    "addition_embed_type": "image",
    "encoder_hid_dim": 24,
    "encoder_hid_dim_type": "image_proj",
}
# The published model's proportions: four levels, three residual blocks in each.
UNET_DEEP = UNET | {
    "in_channels": 9,
    "block_out_channels": (16, 32, 48, 64),
    "layers_per_block": 3,
    "norm_num_groups": 8,
    "attention_head_dim": 8,
    "down_block_types": ("ResnetDownsampleBlock2D", *["SimpleCrossAttnDownBlock2D"] * 3),
    "up_block_types": (*["SimpleCrossAttnUpBlock2D"] * 3, "ResnetUpsampleBlock2D"),
}
PRIOR = {
    "num_attention_heads": 2,
    "attention_head_dim": 12,
    "num_layers": 3,
    "embedding_dim": 32,
    "num_embeddings": 77,
    "additional_embeddings": 4,
}
MOVQ = {
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": 4,
    "block_out_channels": (32, 64),
    "down_block_types": ("DownEncoderBlock2D", "AttnDownEncoderBlock2D"),
    "up_block_types": ("AttnUpDecoderBlock2D", "UpDecoderBlock2D"),
    "layers_per_block": 1,
    "norm_num_groups": 8,
    "norm_type": "spatial",
    "num_vq_embeddings": 12,
    "vq_embed_dim": 4,
}
MOVQ_DEEP = MOVQ | {
    "block_out_channels": (32, 64, 64, 96),
    "down_block_types": (*["DownEncoderBlock2D"] * 3, "AttnDownEncoderBlock2D"),
    "up_block_types": ("AttnUpDecoderBlock2D", *["UpDecoderBlock2D"] * 3),
    "layers_per_block": 2,
    "norm_num_groups": 16,
    "latent_channels": 6,
    "vq_embed_dim": 6,
}
CLIP_TEXT = {
    "vocab_size": 120,
    "hidden_size": 32,
    "intermediate_size": 56,
    "projection_dim": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 77,
    "hidden_act": "gelu",
    "bos_token_id": 0,
    "eos_token_id": 2,
    "pad_token_id": 1,
}
CLIP_VISION = {
    "hidden_size": 32,
    "intermediate_size": 56,
    "projection_dim": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "image_size": 42,
    "patch_size": 14,
    "hidden_act": "gelu",
}

KANDINSKY3_UNET = {
    "in_channels": 4,
    "time_embedding_dim": 16,
    "groups": 4,
    "attention_head_dim": 8,
    "layers_per_block": 3,
    "block_out_channels": (16, 32, 64, 128),
    "cross_attention_dim": 32,
    "encoder_hid_dim": 24,
}
# Compiles in a fraction of the time; the published proportions are those above.
KANDINSKY3_UNET_SHALLOW = KANDINSKY3_UNET | {
    "block_out_channels": (16, 32),
    "layers_per_block": 2,
}
T5 = {
    "vocab_size": 128,
    "d_model": 24,
    "d_kv": 8,
    "d_ff": 56,
    "num_layers": 3,
    "num_heads": 4,
    "feed_forward_proj": "gated-silu",
}


def unet(config: Mapping[str, Any]) -> Any:
    return _disturbed(lambda: diffusers.UNet2DConditionModel(**config))


def prior(config: Mapping[str, Any]) -> Any:
    return _disturbed(lambda: diffusers.PriorTransformer(**config))


def movq(config: Mapping[str, Any]) -> Any:
    return _disturbed(lambda: diffusers.VQModel(**config))


def clip_text(config: Mapping[str, Any]) -> Any:
    settings = transformers.CLIPTextConfig(**config)
    return _disturbed(lambda: transformers.CLIPTextModelWithProjection(settings))


def clip_vision(config: Mapping[str, Any]) -> Any:
    settings = transformers.CLIPVisionConfig(**config)
    return _disturbed(lambda: transformers.CLIPVisionModelWithProjection(settings))


def kandinsky3_unet(config: Mapping[str, Any]) -> Any:
    return _disturbed(lambda: diffusers.Kandinsky3UNet(**config))


def kandinsky3_inpainting_unet(config: Mapping[str, Any]) -> Any:
    """With the mask and masked latents among its inputs, which diffusers' class cannot say."""

    def build() -> Any:
        model = diffusers.Kandinsky3UNet(**config)
        first = model.conv_in
        channels = 2 * first.in_channels + 1
        model.conv_in = torch.nn.Conv2d(channels, first.out_channels, kernel_size=3, padding=1)
        return model

    return _disturbed(build)


def t5(config: Mapping[str, Any]) -> Any:
    settings = transformers.T5Config(**config)
    return _disturbed(lambda: transformers.T5EncoderModel(settings))


def _disturbed(build: Callable[[], Any]) -> Any:
    """The same model at every call, ready for inference, with noise on each parameter."""
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(20230707)
        model = build()
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape)
    return model.eval().requires_grad_(requires_grad=False)


def tensors_of(model: Any) -> DictTensors:
    """The model's state dict as a checkpoint."""
    return DictTensors({name: numpy_of(value) for name, value in model.state_dict().items()})


def numpy_of(tensor: Any) -> npt.NDArray[Any]:
    """A tensor's values; bfloat16 widens to float32, which NumPy lacks the other way."""
    return tensor.float().numpy() if tensor.is_floating_point() else tensor.numpy()


def config_dict(model: Any) -> dict[str, Any]:
    """The config as it would be read from the file that the model's own library writes."""
    config = model.config
    return dict(config.to_dict()) if hasattr(config, "to_dict") else dict(config)


def relative_error(given: Any, reference: Any) -> float:
    """L2 distance over L2 norm, in float64."""
    given = np.asarray(given, dtype=np.float64)
    reference = np.asarray(reference, dtype=np.float64)
    assert given.shape == reference.shape
    return float(np.linalg.norm(given - reference) / np.linalg.norm(reference))
