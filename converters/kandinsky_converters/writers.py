"""Writes weight files tensor by tensor, so that at most one tensor is in memory."""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kandinsky_core.arrays import Array
from kandinsky_core.checkpoints.mindspore_files import encode_header
from kandinsky_core.seam.stored_dtypes import STORED

__all__ = ["write_mindspore", "write_safetensors"]

Specs = Mapping[str, tuple[tuple[int, ...], str]]  # shape and safetensors dtype by name

ALIGNMENT = 64  # bytes; at such addresses JAX takes a mapped file on a CPU as it is
_PIECE = 512 << 20  # bytes; larger tensors are cut in a .ckpt, as MindSpore does itself


def write_safetensors(
    path: Path, specs: Specs, read: Callable[[str], Array], metadata: Mapping[str, str]
) -> str:
    """Write a safetensors file whose tensors lie at multiples of 64 bytes.

    The format allows no gaps, so the few tensors whose size is no such multiple come last. They
    lie at multiples of the size of their own values, as long as a file has one dtype.

    Args:
        path: The file.
        specs: Shape and dtype of each tensor to write.
        read: Gives the values of one tensor, in the dtype and shape of its spec.
        metadata: Metadata for the header.

    Returns:
        The SHA-256 of the file.
    """
    sizes = {name: _size(*spec) for name, spec in specs.items()}
    # The second key is the size of a value, so that mixed dtypes stay aligned too.
    order = sorted(
        specs, key=lambda name: (sizes[name] % ALIGNMENT > 0, -STORED[specs[name][1]].size, name)
    )
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    start = 0
    for name in order:
        shape, dtype = specs[name]
        ends = [start, start + sizes[name]]
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": ends}
        start = ends[1]
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-(8 + len(text)) % ALIGNMENT)
    with _Hashed(path) as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name in order:
            file.write(read(name))
    return file.digest


def write_mindspore(path: Path, specs: Specs, read: Callable[[str], Array]) -> str:
    """Write a `.ckpt` that `mindspore.load_checkpoint` reads; see `write_safetensors`."""
    with _Hashed(path) as file:
        for name, (shape, dtype) in specs.items():
            values = read(name).reshape(-1).view(np.uint8)
            kind = STORED[dtype].mindspore
            for start in range(0, max(len(values), 1), _PIECE):
                piece = values[start : start + _PIECE]
                file.write(encode_header(name, shape, kind, len(piece)))
                file.write(piece)
    return file.digest


class _Hashed:
    """A file that is hashed while it is written; closing it waits until it is on the disk."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._hash = hashlib.sha256()

    def __enter__(self) -> _Hashed:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None:
                self._file.flush()
                os.fsync(self._file.fileno())
        finally:
            self._file.close()

    def write(self, data: bytes | Array) -> None:
        content = data if isinstance(data, bytes) else data.reshape(-1).view(np.uint8).data
        self._file.write(content)
        self._hash.update(content)

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()


def _size(shape: tuple[int, ...], dtype: str) -> int:
    return STORED[dtype].size * int(np.prod(shape, dtype=np.int64))
