"""What networks compute once a run, of the conditioning alone, and read at every step.

These are pytrees that go from one program to another. They need no Flax, so that a program that was
kept on the disk is loaded without it.
"""

from __future__ import annotations

from typing import NamedTuple

from jax import Array

__all__ = [
    "AttentionTokens",
    "BlockTokens",
    "BranchConditioning",
    "ControlledConditioning",
    "Kandinsky3Conditioning",
    "KeyValue",
    "PriorConditioning",
    "SmallPicture",
    "TextAndImageTokens",
    "UNetConditioning",
]


class KeyValue(NamedTuple):
    """Keys and values that one attention makes of the conditioning's tokens, each [B,T,N,D]."""

    key: Array
    value: Array


class TextAndImageTokens(NamedTuple):
    """Keys and values of one attention for text and picture, and the weight [B] of the picture."""

    text: KeyValue
    image: KeyValue
    weight: Array


AttentionTokens = KeyValue | TextAndImageTokens

# The tokens of one block: an item for each of its attentions, so none in a block without one.
BlockTokens = tuple[KeyValue, ...]


class PriorConditioning(NamedTuple):
    """What every step of the prior depends on."""

    text: tuple[KeyValue, ...]  # keys and values of the text in each block, [B,78,N,D]
    bias: Array  # added to the scores of the step's tokens, [B,1,3,81], float32


class UNetConditioning(NamedTuple):
    """What every step of a UNet of Kandinsky 2 depends on."""

    embedding: Array  # added to the time embedding, [B,T]
    channels: Array | None  # put behind the sample's channels, [B,h,w,c]
    down: tuple[BlockTokens, ...]
    middle: BlockTokens
    up: tuple[BlockTokens, ...]


class Kandinsky3Conditioning(NamedTuple):
    """What every step of the UNet of Kandinsky 3 depends on."""

    embedding: Array  # added to the time embedding, [B,T]
    bias: Array  # added to the scores of attentions to the text, [B,1,1,L]
    channels: Array | None  # put behind the sample's channels, [B,h,w,c]
    down: tuple[BlockTokens, ...]
    up: tuple[BlockTokens, ...]
    hint: Array | None = None  # added behind the first convolution, [B,h,w,C]


class BranchConditioning(NamedTuple):
    """What every step of a ControlNet of Kandinsky 3 depends on."""

    embedding: Array  # added to the time embedding, [B,T]
    bias: Array  # added to the scores of attentions to the text, [B,1,1,L]
    hint: Array  # added behind the first convolution, [B,h,w,C]
    down: tuple[BlockTokens, ...]


class ControlledConditioning(NamedTuple):
    """What every step of UNet and ControlNet depends on.

    `kandinsky_core.seam.control` explains scales, [B,h',w',1] for each level, and window, [B,2].
    """

    unet: Kandinsky3Conditioning
    branch: BranchConditioning
    scales: tuple[Array, ...]
    window: Array


class SmallPicture(NamedTuple):
    """The small picture, enlarged to the size of the sample, for the UNet that makes it large."""

    pixels: Array  # [B,H,W,3]
