"""The data of a conversion's source: models and their networks."""

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
        name: Name of the network's folder, `unet` for example.
        class_name: The network's class.
        config: Content of its config.json.
        tensors: Its weights in diffusers' names and layout.
        files: The weight files.
        folder: Folder with its other files; None for an original.
        source_count: How many tensors the files hold.
        ignored: Why other tensors of the files are left out, by their names.
        null_embedding: The vector that Kandinsky 3 takes for an empty text, [cross_attention_dim];
            None where the source has none. It gets a file of its own, which diffusers ignores.
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
    """One model to convert.

    Attributes:
        name: The model as the user named it.
        subfolder: Subfolder of the output that its conversion goes to; empty for a single model.
        folder: Folder of the model; None for originals.
        parts: Its networks, as far as they are wanted.
        others: Its other files, relative to `folder`.
        available: Names of all its networks.
        made: Content of further files that the conversion writes, by their paths in it.
    """

    name: str
    subfolder: str
    folder: Path | None
    parts: Sequence[Part]
    others: Sequence[Path]
    available: Sequence[str]
    made: Mapping[str, bytes] = field(default_factory=dict)
