"""The small Kandinsky 2.0 whose numbers the authors' code computed, as components of a backend."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from kandinsky_converters.originals import kandinsky2_0
from kandinsky_converters.originals.piece import Piece
from kandinsky_core.arrays import Array
from tests.support.dict_tensors import DictTensors

__all__ = ["GOLDEN", "NETWORKS", "golden", "tensors_of"]

GOLDEN = Path(__file__).parents[1] / "data" / "k2_0"
_HEAD = 16

UNET = {
    "_class_name": "Kandinsky20UNet",
    "in_channels": 4,
    "out_channels": 8,
    "block_out_channels": [32, 32],
    "down_block_types": ["ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"],
    "up_block_types": ["SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"],
    "mid_block_type": "UNetMidBlock2DSimpleCrossAttn",
    "resnet_time_scale_shift": "scale_shift",
    "layers_per_block": 1,
    "attention_head_dim": _HEAD,
    "cross_attention_dim": 48,
    "encoder_hid_dim": 32,
    "encoder_hid_dim_2": 64,
    "text_embed_dim": 24,
    "sample_size": 8,
}
VAE = {
    "_class_name": "AutoencoderKL",
    "block_out_channels": [32] * 4,
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "layers_per_block": 1,
    "scaling_factor": 0.0512,
}
TEXT_ENCODER = {
    "_class_name": "MultilingualCLIP",
    "hidden_size": 32,
    "intermediate_size": 64,
    "max_position_embeddings": 82,
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "vocab_size": 64,
    "layer_norm_eps": 1e-5,
    "transformerDimensions": 32,
    "numDims": 24,
}
TEXT_ENCODER_2 = {
    "_class_name": "MT5EncoderModel",
    "model_type": "mt5",
    "d_model": 64,
    "d_kv": 8,
    "d_ff": 96,
    "num_layers": 2,
    "num_heads": 3,
    "feed_forward_proj": "gated-gelu",
    "vocab_size": 64,
}


def same(name: str) -> Iterator[tuple[str, Piece]]:
    """Keep a name."""
    yield name, Piece(name)


# name -> config, file of weights, rule that names them
NETWORKS: dict[str, tuple[dict[str, Any], str, Callable[[str], Iterator[Any]]]] = {
    "unet": (UNET, "unet", functools.partial(kandinsky2_0.unet, resnets=1)),
    "inpaint": (
        {**UNET, "in_channels": 9},
        "unet",
        functools.partial(kandinsky2_0.unet, resnets=1),
    ),
    "vae": (VAE, "vae", kandinsky2_0.autoencoder),
    "text_encoder": (TEXT_ENCODER, "text_encoder1", same),
    "text_encoder_2": (TEXT_ENCODER_2, "text_encoder2", same),
}


@functools.cache
def golden(name: str) -> dict[str, Array]:
    """The arrays of a file."""
    with np.load(GOLDEN / f"{name}.npz") as arrays:
        return dict(arrays)


def originals(name: str) -> dict[str, Array]:
    """The tensors of a network under the original's names."""
    _, file, _ = NETWORKS[name]
    stored = load_file(GOLDEN / f"{file}.safetensors")
    if name == "inpaint":
        stored |= load_file(GOLDEN / "unet_inpainting_delta.safetensors")
    return stored


def tensors_of(name: str) -> dict[str, Array]:
    """The tensors of a network under the names of this library."""
    stored, rule = originals(name), NETWORKS[name][2]
    return {
        target: piece.values(stored[piece.source], _HEAD)
        for source in stored
        for target, piece in rule(source)
    }


def source(name: str) -> Any:
    """What a backend loads a network from."""
    config = NETWORKS[name][0]
    tensors = tensors_of(name)
    return SimpleNamespace(
        class_name=config["_class_name"], config=config, tensors=lambda: DictTensors(tensors)
    )
