"""Rules that map the tensors of KandiSuperRes to the names of this library.

The file of scale 4 keeps its UNet under `unet.`; those of scale 2 and of Flash are plain.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from kandinsky_converters.originals.piece import Piece

__all__ = ["BLOCK_LAYERS", "LAYERS", "unet"]

LAYERS = {
    "init_conv": "conv_in",
    "norm": "conv_norm_out",
    "out_conv": "conv_out",
    "to_time_embed.1": "time_embedding.linear_1",
    "to_time_embed.3": "time_embedding.linear_2",
}
_BLOCK = re.compile(r"(down|up)_samples\.(\d+)\.resnet_attn_blocks\.(\d+)\.0\.(.+)")
BLOCK_LAYERS = {
    "change_resolution.change_resolution": "shortcut_sampler",
    "in_block.change_resolution.change_resolution": "sampler",
    "in_block.group_norm": "norm1",
    "in_block.projection": "conv1",
    "out_block.group_norm": "norm2",
    "out_block.projection": "conv2",
    "res_block": "conv_shortcut",
    "time_mlp.1": "time_emb_proj",
}


def unet(name: str) -> Iterator[tuple[str, Piece]]:
    """Map the tensors of the UNet; none is reshaped or transposed."""
    layer, _, leaf = name.removeprefix("unet.").rpartition(".")
    if layer in LAYERS:
        yield f"{LAYERS[layer]}.{leaf}", Piece(name)
    elif (match := _BLOCK.fullmatch(layer)) and match[4] in BLOCK_LAYERS:
        side, level, number, inner = match.groups()
        yield f"{side}_blocks.{level}.resnets.{number}.{BLOCK_LAYERS[inner]}.{leaf}", Piece(name)
