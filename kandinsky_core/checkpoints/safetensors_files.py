"""Maps the weights of one component from its safetensors files, one tensor at a time."""

from __future__ import annotations

import copy
import json
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from safetensors import SafetensorError, safe_open

from kandinsky_core.arrays import Array
from kandinsky_core.checkpoints.file_identity import file_identity
from kandinsky_core.errors import CheckpointError
from kandinsky_core.seam.stored_dtypes import STORED

__all__ = ["SafetensorsFiles"]


class SafetensorsFiles:
    """One or several safetensors files seen as one set of tensors.

    The files are mapped into memory copy-on-write: a tensor costs memory only where it is written
    to, and the file never changes. A mapping lives as long as an array that `read` gave. Meanwhile
    its file may be renamed, replaced by another or deleted. But if someone truncates the file or
    writes into it, a process that uses it changes its values or crashes, as with every library that
    maps files.

    Args:
        files: The shards, in any order.

    Attributes:
        metadata: The entries of the last file's header that describe no tensor.

    Raises:
        CheckpointError: A file is truncated or no safetensors file, or two files hold the same
            name.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self._identities = {path: file_identity(path) for path in files}
        self._owner: dict[str, Path] = {}
        self._specs: dict[str, tuple[tuple[int, ...], str]] = {}
        self._starts: dict[str, int] = {}
        self._maps: dict[Path, Array] = {}
        self.metadata: dict[str, str] = {}
        for path in files:
            entries, self.metadata = _read_header(path)
            for name, (shape, dtype, start) in entries.items():
                if name in self._owner:
                    raise CheckpointError(
                        f"tensor {name!r} is in both {self._owner[name]} and {path}: "
                        "delete the file that does not belong to this checkpoint"
                    )
                self._owner[name] = path
                self._specs[name] = shape, dtype
                self._starts[name] = start

    @property
    def layout(self) -> str:
        """`diffusers`, or `jax` where the file says that it was converted so."""
        return self.metadata.get("kandinsky_layout", "diffusers")

    def unchanged(self) -> bool:
        """Tell whether all files are still those whose headers were read."""
        return all(file_identity(path) == known for path, known in self._identities.items())

    def again(self) -> Self:
        """Return the same tensors as if opened anew: the headers are shared, the mappings are not.

        So an object that is kept for its headers keeps no mapped file in memory.
        """
        other = copy.copy(self)
        other._maps = {}
        return other

    def names(self) -> Iterable[str]:
        """Return every tensor name."""
        return self._specs.keys()

    def spec(self, name: str) -> tuple[tuple[int, ...], str]:
        """Return shape and safetensors dtype of a tensor, from the header alone."""
        return self._specs[name]

    def read(self, name: str) -> Array:
        """Return a tensor's values in the stored dtype (bfloat16 as `ml_dtypes`).

        Returns:
            A window into the mapped file, or a copy where the data is not aligned, as in the
            published 2.1 files. Writing to it changes no file.

        Raises:
            CheckpointError: The dtype is one that no checkpoint of Kandinsky has.
        """
        path, (shape, code), start = self._owner[name], self._specs[name], self._starts[name]
        if code not in STORED:
            raise CheckpointError(f"{path}: tensor {name!r} is {code}; known: {', '.join(STORED)}")
        dtype = STORED[code].numpy
        if path not in self._maps:
            self._maps[path] = np.memmap(path, np.uint8, mode="c")
        size = dtype.itemsize * int(np.prod(shape, dtype=np.int64))
        values: Array = np.asarray(self._maps[path])[start : start + size].view(dtype)
        return np.require(values.reshape(shape), requirements="A")


def _read_header(
    path: Path,
) -> tuple[dict[str, tuple[tuple[int, ...], str, int]], dict[str, str]]:
    """Return shape, dtype and position in the file of each tensor, and the metadata."""
    try:
        with safe_open(path, framework="np"):  # this checks the header against the file's size
            pass
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(length), object_pairs_hook=_without_duplicates)
    except (SafetensorError, OSError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{path} cannot be read as safetensors ({error}): the file is damaged or was not "
            "downloaded whole; fetch it again"
        ) from error
    metadata = header.pop("__metadata__", {})
    entries = {
        name: (tuple(entry["shape"]), entry["dtype"], 8 + length + entry["data_offsets"][0])
        for name, entry in header.items()
    }
    return entries, metadata


def _without_duplicates(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    names = dict(pairs)
    if len(names) != len(pairs):
        raise ValueError("a name comes twice in its header")
    return names
