"""Maps the weights of one component from its safetensors files, one tensor at a time."""

from __future__ import annotations

import copy
import json
import math
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from safetensors import SafetensorError, safe_open

from kandinsky_core.arrays import Array
from kandinsky_core.budgets import SAFETENSORS_HEADER_BYTES, TENSORS
from kandinsky_core.checkpoints.file_identity import FileState, file_identity, file_state
from kandinsky_core.checkpoints.regular_files import MappedFile, open_regular
from kandinsky_core.checkpoints.tensor_specs import checked_name, checked_shape
from kandinsky_core.errors import CheckpointError
from kandinsky_core.seam.stored_dtypes import STORED

__all__ = ["SafetensorsFiles"]

_LAYOUTS = ("diffusers", "jax")  # the first is that of files that name none
_LENGTH = struct.Struct("<Q")  # of the header; it stands before it
_Entry = tuple[tuple[int, ...], str, int]


class SafetensorsFiles:
    """One or several safetensors files seen as one set of tensors.

    The files are mapped into memory copy-on-write: a tensor costs memory only where it is written
    to, and the file never changes. A mapping lives as long as an array that `read` gave. Meanwhile
    its file may be renamed, replaced by another or deleted. If someone truncates the file or writes
    into it, the next `read` refuses it. But a process that uses a window meanwhile changes its
    values or crashes, as with every library that maps files.

    Args:
        files: The shards, in any order.

    Attributes:
        metadata: The entries of the last file's header that describe no tensor.

    Raises:
        CheckpointError: A file is truncated or no safetensors file, two files hold the same name,
            or a layout is unknown or not that of the other files.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self._identities = {path: file_identity(path) for path in files}
        self._owner: dict[str, Path] = {}
        self._specs: dict[str, tuple[tuple[int, ...], str]] = {}
        self._starts: dict[str, int] = {}
        self._maps: dict[Path, MappedFile] = {}
        self.metadata: dict[str, str] = {}
        layouts: dict[str, Path] = {}
        for path in files:
            entries, self.metadata = _read_header(path)
            layouts[_checked_layout(path, self.layout)] = path
            for name, (shape, dtype, start) in entries.items():
                if name in self._owner:
                    raise CheckpointError(
                        f"tensor {name!r} is in both {self._owner[name]} and {path}: "
                        "delete the file that does not belong to this checkpoint"
                    )
                self._owner[name] = path
                self._specs[name] = shape, dtype
                self._starts[name] = start
        if len(layouts) > 1:
            some = " and ".join(f"{path} ({layout})" for layout, path in layouts.items())
            raise CheckpointError(f"{some} are not in one layout: take files of one conversion")

    @property
    def layout(self) -> str:
        """`diffusers`, or `jax` where the file says that it was converted so."""
        return self.metadata.get("kandinsky_layout", _LAYOUTS[0])

    def unchanged(self) -> bool:
        """Tell whether all files are still those whose headers were read."""
        return all(file_identity(path) == known for path, known in self._identities.items())

    def states(self) -> tuple[FileState, ...] | None:
        """Return numbers by which a later process knows these files again.

        They are None where a file is no longer the one whose header was read.
        """
        found = tuple(state for path in self._identities if (state := file_state(path)))
        return found if [state[:-1] for state in found] == [*self._identities.values()] else None

    def hold(self) -> None:
        """Map all files now, so that they may be renamed, replaced or deleted before `read`.

        Raises:
            CheckpointError: A file is no longer the one whose header was read.
        """
        for path in self._identities:
            self._map_of(path)

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
            CheckpointError: The dtype is one that no checkpoint of Kandinsky has, or the file is
                no longer the one whose header was read.
        """
        path, (shape, code), start = self._owner[name], self._specs[name], self._starts[name]
        if code not in STORED:
            raise CheckpointError(f"{path}: tensor {name!r} is {code}; known: {', '.join(STORED)}")
        dtype = STORED[code].numpy
        file = self._map_of(path)
        values: Array = file.window(start, start + dtype.itemsize * math.prod(shape)).view(dtype)
        return np.require(values.reshape(shape), requirements="A")

    def _map_of(self, path: Path) -> MappedFile:
        file = self._maps.get(path)
        if file is not None:
            return file
        try:  # threads that come at the same time may map it twice
            file = self._maps[path] = MappedFile(path, self._identities[path])
            return file
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{path} cannot be read: {error}") from error


def _checked_layout(path: Path, layout: str) -> str:
    if layout not in _LAYOUTS:
        raise CheckpointError(
            f"{path} is in the layout {layout!r}; known in safetensors: {', '.join(_LAYOUTS)}: "
            "convert the model again with this version"
        )
    return layout


def _read_header(path: Path) -> tuple[dict[str, _Entry], dict[str, str]]:
    """Return shape, dtype and position in the file of each tensor, and the metadata."""
    try:
        with open_regular(path) as file:
            start = file.read(_LENGTH.size)
            length: int = _LENGTH.unpack(start)[0] if len(start) == _LENGTH.size else 0
            if length > SAFETENSORS_HEADER_BYTES:
                raise ValueError(
                    f"a header of {length:,} bytes; allowed are {SAFETENSORS_HEADER_BYTES:,}"
                )
            text = file.read(length)
        with safe_open(path, framework="np"):  # this checks the header against the file's size
            pass
        header = json.loads(text.decode("utf-8"), object_pairs_hook=_without_duplicates)
        metadata = header.pop("__metadata__", None)
        if len(header) > TENSORS:
            raise ValueError(f"{len(header):,} tensors; allowed are {TENSORS:,}")
        begin = _LENGTH.size + length
        entries = {checked_name(name): _entry(name, item, begin) for name, item in header.items()}
        return entries, _metadata(metadata)
    except (SafetensorError, OSError, ValueError, RecursionError, AttributeError) as error:
        raise CheckpointError(
            f"{path} cannot be read as safetensors ({error}): the file is damaged or was not "
            "downloaded whole; fetch it again"
        ) from error


def _entry(name: str, item: Any, begin: int) -> _Entry:
    """Return shape, dtype and position of a tensor whose data begin at `begin` or behind it."""
    try:
        shape, dtype, (start, end) = item["shape"], item["dtype"], item["data_offsets"]
        shape = checked_shape(shape)
        if not isinstance(dtype, str) or {type(start), type(end)} != {int} or start < 0:
            raise ValueError("a dtype that is no text, or offsets that are no counts")
        if dtype in STORED and end - start != STORED[dtype].size * math.prod(shape):
            raise ValueError(f"{end - start:,} bytes for {dtype} of shape {list(shape)}")
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"tensor {name!r} has no valid entry: {error}") from error
    return shape, dtype, begin + start


def _metadata(found: Any) -> dict[str, str]:
    """Return the texts beside the tensors; some programs write null where there are none."""
    if found is None:
        return {}
    if not isinstance(found, dict) or not all(isinstance(text, str) for text in found.values()):
        raise ValueError("its __metadata__ is no object of texts")
    return found


def _without_duplicates(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    names = dict(pairs)
    if len(names) != len(pairs):
        raise ValueError("a name comes twice in its header")
    return names
