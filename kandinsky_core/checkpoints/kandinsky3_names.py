"""Finds diffusers' name of a block in the name that Kandinsky 3's authors give to a layer of it.

Source: ai-forever/Kandinsky-3, `kandinsky3/model/unet.py`; a level's blocks come in threes there:
residual block, attention to the text, residual block.
"""

from __future__ import annotations

import re

__all__ = ["block_and_layer"]

_BLOCK = re.compile(
    r"(down|up)_samples\.(\d+)\.(?:self_attention_block|resnet_attn_blocks\.(\d+)\.([012]))\.(.+)"
)
_POOLING = "feature_pooling."


def block_and_layer(name: str) -> tuple[str, str] | None:
    """Return diffusers' name of the block, and the authors' name of the layer in it.

    Args:
        name: A layer, `down_samples.1.resnet_attn_blocks.0.1.attention.to_query` for example, which
            gives `down_blocks.1.attentions.1` and `attention.to_query`.

    Returns:
        None for a layer that lies in no block.
    """
    if name.startswith(_POOLING):
        return "add_time_condition", name.removeprefix(_POOLING)
    match = _BLOCK.fullmatch(name)
    if match is None:
        return None
    side, level, number, place, layer = match.groups()
    if place is None:
        block = "attentions.0"
    elif place == "1":
        block = f"attentions.{int(number) + 1}"
    else:
        block = f"resnets_{'in' if place == '0' else 'out'}.{number}"
    return f"{side}_blocks.{level}.{block}", layer
