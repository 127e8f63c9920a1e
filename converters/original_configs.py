"""The configs of ai-forever's files: those published for 2.1, with the widths of the weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from converters.manifests import manifests
from converters.original import HEAD_SIZE
from kandinsky_core.errors import CheckpointError
from kandinsky_core.interfaces import Tensors

__all__ = ["original_config"]

_MANIFESTS = {
    "movq": "kandinsky-2-1/movq",
    "prior": "kandinsky-2-1-prior/prior",
    "unet": "kandinsky-2-1/unet",
}


def original_config(
    kind: str, tensors: Tensors, head_size: int = HEAD_SIZE
) -> tuple[str, dict[str, Any]]:
    """Class name and config of original weights.

    The files have none, so what shapes cannot show is taken to be as published.

    Args:
        kind: See `converters.original.KINDS`.
        tensors: The weights under diffusers' names.
        head_size: Channels of an attention head.

    Raises:
        CheckpointError: A tensor is missing that says a width.
    """
    manifest = next(entry for entry in manifests("2.1") if entry.name == _MANIFESTS[kind])
    try:
        widths = _WIDTHS[kind](tensors, head_size)
    except (KeyError, IndexError) as error:
        raise CheckpointError(f"tensor {error} is missing: is the file whole?") from error
    config = {"_class_name": manifest.class_name, **manifest.config, **widths}
    return manifest.class_name, config


def _sides(tensors: Tensors, name: str) -> tuple[int, ...]:
    return tensors.spec(name)[0]


def _unet(tensors: Tensors, head_size: int) -> Mapping[str, Any]:
    widths = [
        _sides(tensors, f"down_blocks.{level}.resnets.0.conv1.weight")[0] for level in range(4)
    ]
    return {
        "attention_head_dim": head_size,
        "block_out_channels": widths,
        "cross_attention_dim": _sides(tensors, "add_embedding.text_proj.weight")[1],
        "encoder_hid_dim": _sides(tensors, "encoder_hid_proj.text_proj.weight")[1],
        "in_channels": _sides(tensors, "conv_in.weight")[1],
        "out_channels": _sides(tensors, "conv_out.weight")[0],
    }


def _prior(tensors: Tensors, head_size: int) -> Mapping[str, Any]:
    width, embedding = _sides(tensors, "proj_in.weight")
    blocks = {
        name.split(".")[1] for name in tensors.names() if name.startswith("transformer_blocks.")
    }
    length = _sides(tensors, "positional_embedding")[1]
    return {
        "attention_head_dim": head_size,
        "embedding_dim": embedding,
        "num_attention_heads": width // head_size,
        "num_embeddings": length - 4,
        "num_layers": len(blocks),
    }


def _movq(tensors: Tensors, head_size: int) -> Mapping[str, Any]:
    widths = [
        _sides(tensors, f"encoder.down_blocks.{level}.resnets.0.conv1.weight")[0]
        for level in range(4)
    ]
    codes, code = _sides(tensors, "quantize.embedding.weight")
    return {
        "block_out_channels": widths,
        "latent_channels": _sides(tensors, "encoder.conv_out.weight")[0],
        "num_vq_embeddings": codes,
        "vq_embed_dim": code,
    }


_WIDTHS = {"movq": _movq, "prior": _prior, "unet": _unet}
