"""What a source of a conversion consists of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kandinsky_core.arrays import Array
from kandinsky_core.seam.tensors import Tensors

__all__ = ["ORIGINAL_SUFFIXES", "Part", "Source"]

ORIGINAL_SUFFIXES = (".bin", ".ckpt", ".pt", ".pth", ".th")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One network of a source.

    Attributes:
        name: Its folder's name, `unet` for example.
        class_name: Of the network.
        config: Its config.json.
        tensors: Its weights in diffusers' names and layout.
        files: The weight files.
        folder: Where other files of it lie; None for an original.
        source_count: How many tensors the files hold.
        ignored: Why what the files hold besides is left out.
        null_embedding: What Kandinsky 3 takes for no text, [cross_attention_dim], where the source
            has it; kept in a file of its own, as diffusers does not know it.
    """

    name: str
    class_name: str
    config: Mapping[str, Any]
    tensors: Tensors
    files: Sequence[Path]
    folder: Path | None
    source_count: int
    ignored: Mapping[str, str] = field(default_factory=dict)
    null_embedding: Array | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A model folder, or one of several.

    Attributes:
        name: What the user called it.
        subfolder: Where its conversion goes in the output; empty for a single one.
        folder: Where it lies; None for originals.
        parts: Its networks, as far as they are wanted.
        others: Its other files, relative to `folder`.
        available: Names of all its networks.
        made: Content of files that its conversion has besides, by their paths in it.
    """

    name: str
    subfolder: str
    folder: Path | None
    parts: Sequence[Part]
    others: Sequence[Path]
    available: Sequence[str]
    made: Mapping[str, bytes] = field(default_factory=dict)
