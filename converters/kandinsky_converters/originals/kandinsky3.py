"""Rules that map the tensors of ai-forever's files of Kandinsky 3.0 and 3.1 to diffusers' tensors.

The same rules serve text to image, Flash, inpainting, and the UNets of kandinsky3-diffusers, which
contain the projection of the text, and an IP-Adapter in some of them. docs/converter.md lists the
rules and their sources.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from kandinsky_converters.originals import kandinsky2_1 as original_kandinsky2_1
from kandinsky_converters.originals.piece import Piece
from kandinsky_core.checkpoints.kandinsky3_names import block_and_layer

__all__ = ["movq", "projection", "unet"]

_LINEAR, _NORM = "encoder_hid_proj.projection_linear", "encoder_hid_proj.projection_norm"
_LAYERS = {
    "to_time_embed.1": "time_embedding.linear_1",
    "to_time_embed.3": "time_embedding.linear_2",
    "in_layer": "conv_in",
    "out_layer.0": "conv_norm_out",
    "out_layer.2": "conv_out",
    "projection_lin": _LINEAR,
    "projection_ln": _NORM,
    "projections.t5.0": _LINEAR,
    "projections.t5.1": _NORM,
    "image_proj": "encoder_hid_proj.image_projection.image_embeds",
    "image_norm": "encoder_hid_proj.image_projection.norm",
}
_ATTENTION = {
    "to_query": "to_q",
    "to_key": "to_k",
    "to_value": "to_v",
    "output_layer": "to_out.0",
}
_IP_ADAPTER = {
    "attention.processor.to_key_ip": "attention.ip_adapter.to_k",
    "attention.processor.to_v_ip": "attention.ip_adapter.to_v",
    "attention.processor.to_out_ip": "attention.ip_adapter.to_out",
}
# The ControlNet's first seven convolutions of the hint, its last one, and those behind levels.
_HINT = re.compile(r"input_hint_block\.(?:conv([1-7])|(out))")
_BEHIND = re.compile(r"convs\.(\d+)")


def unet(name: str) -> Iterator[tuple[str, Piece]]:
    """Map the tensors of a UNet; none is reshaped or transposed."""
    layer, _, leaf = name.removeprefix("unet.").rpartition(".")
    if layer in _LAYERS:
        yield f"{_LAYERS[layer]}.{leaf}", Piece(name)
    elif match := _HINT.fullmatch(layer):
        count = int(match[1] or 8)
        place = {1: "conv_in", 8: "conv_out"}.get(count, f"blocks.{count - 2}")
        yield f"controlnet_cond_embedding.{place}.{leaf}", Piece(name)
    elif match := _BEHIND.fullmatch(layer):
        yield f"controlnet_down_blocks.{match[1]}.{leaf}", Piece(name)
    elif found := block_and_layer(layer):
        block, inner = found
        theirs = _inner(inner, attention=".resnets_" not in block)
        if theirs is not None:
            yield f"{block}.{theirs}.{leaf}", Piece(name)


def _inner(layer: str, *, attention: bool) -> str | None:
    """Return diffusers' name of a layer inside a block; None for the layers of a LoRA."""
    if not attention:
        return layer
    if layer in _IP_ADAPTER:
        return _IP_ADAPTER[layer]
    outer, _, projection = layer.rpartition(".")
    if outer == "attention":
        return f"attention.{_ATTENTION[projection]}" if projection in _ATTENTION else None
    return None if layer.startswith("attention.") else layer


def projection(name: str) -> Iterator[tuple[str, Piece]]:
    """Map the file of 3.1 that holds the projection of the text for one UNet."""
    layer, _, leaf = name.rpartition(".")
    target = {"0": _LINEAR, "1": _NORM}.get(layer)
    if target is not None:
        yield f"{target}.{leaf}", Piece(name)


def movq(name: str) -> Iterator[tuple[str, Piece]]:
    """Map MoVQ as in 2.1; only the encoder's norms differ, which are nested like the decoder's."""
    plain = name.replace(".norm_layer.", ".") if name.startswith("encoder.") else name
    for target, piece in original_kandinsky2_1.movq(plain):
        yield target, replace(piece, source=name)
