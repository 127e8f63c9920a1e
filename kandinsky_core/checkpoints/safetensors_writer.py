"""Writes safetensors files tensor by tensor, so that at most one tensor is in memory."""

from __future__ import annotations

import hashlib
import json
import math
import os
import struct
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kandinsky_core.arrays import Array
from kandinsky_core.seam.stored_dtypes import STORED

__all__ = ["ALIGNMENT", "HashedFile", "Specs", "file_order", "spec_size", "write_safetensors"]

Specs = Mapping[str, tuple[tuple[int, ...], str]]
"""Shape and safetensors dtype of each tensor by its name."""

ALIGNMENT = 64
"""Bytes; JAX on a CPU uses mapped values at such addresses without a copy."""


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
    order = file_order(specs)
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    start = 0
    for name in order:
        shape, dtype = specs[name]
        ends = [start, start + spec_size(specs[name])]
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": ends}
        start = ends[1]
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-(8 + len(text)) % ALIGNMENT)
    with HashedFile(path) as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name in order:
            file.write(read(name))
    return file.digest


def file_order(specs: Specs) -> list[str]:
    """Return the names of tensors in the order in which a file holds them."""
    return sorted(
        specs,
        # The second key is the size of a value, so that mixed dtypes stay aligned too.
        key=lambda name: (
            spec_size(specs[name]) % ALIGNMENT > 0,
            -STORED[specs[name][1]].size,
            name,
        ),
    )


def spec_size(spec: tuple[Iterable[int], str]) -> int:
    """Return the bytes that a tensor of some shape and dtype takes in a file."""
    shape, dtype = spec
    return STORED[dtype].size * math.prod(shape)


class HashedFile:
    """A file that is hashed while it is written; closing it waits until it is on the disk."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._hash = hashlib.sha256()

    def __enter__(self) -> HashedFile:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None:
                self._file.flush()
                os.fsync(self._file.fileno())
        finally:
            self._file.close()

    def write(self, data: bytes | Array) -> None:
        """Append bytes, or the bytes of an array."""
        content = data if isinstance(data, bytes) else data.reshape(-1).view(np.uint8).data
        self._file.write(content)
        self._hash.update(content)

    @property
    def digest(self) -> str:
        """The SHA-256 of what was written."""
        return self._hash.hexdigest()
