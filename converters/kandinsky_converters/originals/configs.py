"""Configs for ai-forever's files: diffusers' published configs, with the widths of the weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from kandinsky_converters.manifests import manifests
from kandinsky_converters.originals.piece import HEAD_SIZE
from kandinsky_core.errors import CheckpointError
from kandinsky_core.seam.tensors import Tensors

__all__ = ["ip_adapter_fields", "original_config"]

_MANIFESTS = {
    "movq": ("2.1", "kandinsky-2-1/movq"),
    "movq3": ("3.0", "kandinsky-3/movq"),
    "prior": ("2.1", "kandinsky-2-1-prior/prior"),
    "unet": ("2.1", "kandinsky-2-1/unet"),
    "unet3": ("3.0", "kandinsky-3/unet"),
    "unet2_0": ("2.0", "Kandinsky_2.0/unet"),
    "upscaler": ("KandiSuperRes", "KandiSuperRes/unet"),
    "vae": ("2.0", "Kandinsky_2.0/vae"),
}


def original_config(
    kind: str, tensors: Tensors, head_size: int = HEAD_SIZE
) -> tuple[str, dict[str, Any]]:
    """Return class name and config for original weights.

    The files hold no config. The fields that shapes cannot show get the published values.

    Args:
        kind: See `kandinsky_converters.originals.tensors.KINDS`.
        tensors: The weights under diffusers' names.
        head_size: Channels of an attention head.

    Raises:
        CheckpointError: A tensor that shows a width is missing.
    """
    version, name = _MANIFESTS[kind]
    manifest = next(entry for entry in manifests(version) if entry.name == name)
    try:
        widths = _WIDTHS[kind](tensors, head_size)
    except (KeyError, IndexError) as error:
        raise CheckpointError(f"tensor {error} is missing: is the file whole?") from error
    except ValueError as error:
        raise CheckpointError(f"a tensor has another number of axes ({error})") from error
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


def _unet2_0(tensors: Tensors, head_size: int) -> Mapping[str, Any]:
    texts, pooled = "encoder_hid_proj.text_proj.weight", "encoder_hid_proj.text_proj_2.weight"
    return {
        **_unet(tensors, head_size),
        "cross_attention_dim": _sides(tensors, texts)[0],
        "encoder_hid_dim_2": _sides(tensors, pooled)[1],
        "text_embed_dim": _sides(tensors, "add_embedding.text_proj.weight")[1],
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
    codes, code = _sides(tensors, "quantize.embedding.weight")
    widths = _movq_without_codes(tensors, head_size)
    return {**widths, "num_vq_embeddings": codes, "vq_embed_dim": code}


def _autoencoder_kl(tensors: Tensors, head_size: int) -> Mapping[str, Any]:
    latent = _sides(tensors, "post_quant_conv.weight")[0]
    return {"block_out_channels": _autoencoder_widths(tensors), "latent_channels": latent}


def _autoencoder_widths(tensors: Tensors) -> list[int]:
    name = "encoder.down_blocks.{}.resnets.0.conv1.weight"
    return [_sides(tensors, name.format(level))[0] for level in range(4)]


def _movq_without_codes(tensors: Tensors, head_size: int) -> Mapping[str, Any]:
    return {
        "block_out_channels": _autoencoder_widths(tensors),
        "latent_channels": _sides(tensors, "encoder.conv_out.weight")[0],
        "vq_embed_dim": _sides(tensors, "quant_conv.weight")[0],
    }


def _unet3(tensors: Tensors, head_size: int) -> Mapping[str, Any]:
    last = "resnets_in.0.resnet_blocks.3.projection.weight"
    widths = [_sides(tensors, f"down_blocks.{level}.{last}")[0] for level in range(4)]
    context, states = _sides(tensors, "encoder_hid_proj.projection_linear.weight")
    channels = _sides(tensors, "conv_in.weight")[1]
    made = _sides(tensors, "conv_out.weight")[0]
    first = "down_blocks.0.resnets_in."
    pairs = {name.split(".")[3] for name in tensors.names() if name.startswith(first)}
    config = {
        "attention_head_dim": head_size,
        "block_out_channels": widths,
        "cross_attention_dim": context,
        "encoder_hid_dim": states,
        "in_channels": channels,
        "layers_per_block": len(pairs),
        "time_embedding_dim": _sides(tensors, "time_embedding.linear_1.weight")[0],
        **ip_adapter_fields(tensors),
    }
    # diffusers has no such field and no such network: its UNet has as many channels in as out.
    return config if channels == made else {**config, "out_channels": made}


def ip_adapter_fields(tensors: Tensors) -> dict[str, Any]:
    """Return the config's fields of a UNet's IP-Adapter, which no published config has.

    Args:
        tensors: The UNet's weights under our names; without an IP-Adapter there are no fields.

    Raises:
        CheckpointError: A tensor that shows a width is missing, or has another number of axes.
    """
    name = "encoder_hid_proj.image_projection"
    if f"{name}.image_embeds.weight" not in tensors.names():
        return {}
    try:
        rows, width = _sides(tensors, f"{name}.image_embeds.weight")
        (context,) = _sides(tensors, f"{name}.norm.weight")
    except KeyError as error:
        raise CheckpointError(f"tensor {error} is missing: is the file whole?") from error
    except ValueError as error:
        raise CheckpointError(f"a tensor has another number of axes ({error})") from error
    return {"image_embed_dim": width, "num_image_tokens": rows // context if context else 0}


def _upscaler(tensors: Tensors, head_size: int) -> Mapping[str, Any]:
    blocks = Counter(
        int(name.split(".")[1])
        for name in tensors.names()
        if name.startswith("down_blocks.") and name.endswith(".conv1.weight")
    )
    levels = range(len(blocks))
    conv2 = "resnets.0.conv2.weight"
    return {
        "block_out_channels": [
            _sides(tensors, f"down_blocks.{level}.{conv2}")[0] for level in levels
        ],
        "in_channels": _sides(tensors, "conv_in.weight")[1],
        "init_channels": _sides(tensors, "conv_in.weight")[0],
        "layers_per_block": [blocks[level] for level in levels],
        "out_channels": _sides(tensors, "conv_out.weight")[0],
        "time_embedding_dim": _sides(tensors, "time_embedding.linear_1.weight")[0],
    }


_WIDTHS = {
    "movq": _movq,
    "movq3": _movq_without_codes,
    "prior": _prior,
    "unet": _unet,
    "unet3": _unet3,
    "unet2_0": _unet2_0,
    "upscaler": _upscaler,
    "vae": _autoencoder_kl,
}
