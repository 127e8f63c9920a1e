"""Ways to write and to spoil the files of a checkpoint."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt
from safetensors.numpy import load_file, save_file

__all__ = ["edit_json", "edit_tensors", "raw_safetensors", "truncate"]

Arrays = dict[str, npt.NDArray[Any]]


def edit_json(path: Path, **changes: Any) -> None:
    """Set fields of a JSON object."""
    data = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(data | changes), encoding="utf-8")


def edit_tensors(path: Path, drop: tuple[str, ...] = (), **added: Any) -> None:
    """Drop, replace and add tensors of a safetensors file."""
    tensors = load_file(path)
    kept = {name: value for name, value in tensors.items() if name not in drop}
    save_file(kept | added, path)


def truncate(path: Path) -> None:
    """Cut the last byte off."""
    path.write_bytes(path.read_bytes()[:-1])


def raw_safetensors(
    path: Path, tensors: Mapping[str, tuple[str, npt.NDArray[Any]]], offset: int
) -> None:
    """Write a safetensors file byte by byte.

    Args:
        path: The file.
        tensors: Dtype as the header names it, and values, by name.
        offset: Where the data shall begin, modulo 8.
    """
    header, data = {}, b""
    for name, (dtype, array) in tensors.items():
        ends = [len(data), len(data) + array.nbytes]
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": ends}
        data += array.tobytes()
    text = json.dumps(header)
    text += " " * ((offset - 8 - len(text)) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text.encode() + data)
