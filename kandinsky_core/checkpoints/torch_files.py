"""Maps weight files that PyTorch saved (`.bin`, `.ckpt`, `.pt`, `.th`), without PyTorch.

Such a file is a zip archive without compression. It holds a pickle that describes the tensors, and
one member of raw values for each storage. `torch_pickle` explains why reading the pickle is safe.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from kandinsky_core.arrays import Array
from kandinsky_core.budgets import EXPANDED_BYTES, PICKLE_BYTES, PICKLE_DEPTH, PICKLE_ITEMS, TENSORS
from kandinsky_core.checkpoints.file_identity import file_identity
from kandinsky_core.checkpoints.regular_files import MappedFile, open_regular
from kandinsky_core.checkpoints.tensor_specs import checked_name
from kandinsky_core.checkpoints.torch_pickle import StridedTensor, read_pickle
from kandinsky_core.checkpoints.zip_members import (
    NoArchiveError,
    ZipMember,
    read_member,
    zip_members,
)
from kandinsky_core.errors import CheckpointError
from kandinsky_core.seam.stored_dtypes import STORED

__all__ = ["TorchFile"]

_PICKLE = "data.pkl"
_ORDER = b"little"


class TorchFile:
    """The tensors of one file, by name.

    Dots join the names of nested dicts; items of a tuple or list are named by their positions.
    Entries that are no tensors (an epoch, a version) are left out and listed in `others`.

    Args:
        path: The file.

    Attributes:
        others: Names of the file's entries that are no tensors.

    Raises:
        CheckpointError: The file is damaged, is no such archive, exceeds a budget, names two
            entries alike, or its pickle asks for more than data.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._identity = file_identity(path)
        self._tensors: dict[str, StridedTensor] = {}
        try:
            with open_regular(path) as file:
                tree = self._read_members(file)
        except NoArchiveError as error:
            raise CheckpointError(_why_no_archive(path, error)) from error
        except OSError as error:
            raise CheckpointError(f"{path} cannot be read: {error}") from error
        except ValueError as error:
            raise CheckpointError(
                f"{path} is damaged, or is more than weights need ({error}): fetch it again"
            ) from error
        others: dict[str, None] = {}
        for name, value in _leaves(tree, path):
            if name in self._tensors or name in others:
                raise CheckpointError(
                    f"{path} holds two entries named {name!r}, one of them by a name with dots: "
                    "rename one where the file is made"
                )
            if isinstance(value, StridedTensor):
                self._tensors[name] = value
            else:
                others[name] = None
        self.others = list(others)
        self._check()
        self._map: MappedFile | None = None

    def names(self) -> Iterable[str]:
        """See `Tensors.names`."""
        return self._tensors.keys()

    def spec(self, name: str) -> tuple[tuple[int, ...], str]:
        """See `Tensors.spec`."""
        tensor = self._tensors[name]
        return tensor.shape, tensor.storage.dtype

    def read(self, name: str) -> Array:
        """Return a tensor's values in the stored dtype.

        Returns:
            A read-only window into the file, or into a copy where the values are not aligned. A
            value that an expanded tensor repeats is there once.

        Raises:
            CheckpointError: The file is gone, or no longer the one that was opened.
        """
        tensor = self._tensors[name]
        dtype = STORED[tensor.storage.dtype].numpy
        file = self._map
        if file is None:
            try:
                file = self._map = MappedFile(self.path, self._identity)
            except (OSError, ValueError) as error:
                raise CheckpointError(f"{self.path} cannot be read: {error}") from error
        place = self._storages[tensor.storage.key]
        stored = file.window(place.start, place.start + place.size).view(dtype)
        flat = np.require(stored, requirements="A")
        # The stride of an axis of one value says nothing, and may be any number.
        moves = math.prod(tensor.shape) > 0
        strides = tuple(
            stride * dtype.itemsize if moves and side > 1 else 0
            for side, stride in zip(tensor.shape, tensor.strides, strict=True)
        )
        values: Array = np.lib.stride_tricks.as_strided(
            flat[tensor.offset :], tensor.shape, strides, writeable=False
        )
        return values

    def _read_members(self, file: BinaryIO) -> Any:
        """Note the places of the storages, and read the pickle."""
        members = zip_members(file)
        pickles = [name for name in members if name.rpartition("/")[2] == _PICKLE]
        if len(pickles) != 1:
            raise CheckpointError(
                f"{self.path} is a zip archive, but none of weights: it holds {len(pickles)} "
                f"{_PICKLE}"
            )
        root = pickles[0].removesuffix(_PICKLE)
        if (order := members.get(f"{root}byteorder")) is not None:
            found = read_member(file, order, 16)
            if found != _ORDER:
                raise CheckpointError(f"{self.path} has {found!r} byte order, not little")
        data = f"{root}data/"
        self._storages: dict[str, ZipMember] = {
            name.removeprefix(data): place
            for name, place in members.items()
            if name.startswith(data)
        }
        try:
            return read_pickle(read_member(file, members[pickles[0]], PICKLE_BYTES))
        except CheckpointError as error:
            raise CheckpointError(f"{self.path} is refused: {error}") from error

    def _check(self) -> None:
        """Refuse what has too many tensors, or tensors that take more than they may."""
        if len(self._tensors) > TENSORS:
            raise CheckpointError(
                f"{self.path} holds {len(self._tensors):,} tensors; allowed are {TENSORS:,}"
            )
        expanded = sum(self._checked(name, tensor) for name, tensor in self._tensors.items())
        if expanded > EXPANDED_BYTES:
            raise CheckpointError(
                f"{self.path} holds expanded tensors that take {expanded:,} bytes more than is "
                f"stored; allowed are {EXPANDED_BYTES:,}: save them with .contiguous()"
            )

    def _checked(self, name: str, tensor: StridedTensor) -> int:
        """Return by how many bytes a tensor exceeds its storage, which must be there and whole."""
        storage = tensor.storage
        itemsize = STORED[storage.dtype].size
        place = self._storages.get(storage.key)
        if place is None or place.size != storage.count * itemsize:
            raise CheckpointError(
                f"{self.path}: the values of tensor {name!r} are missing or cut short: "
                "fetch it again"
            )
        count = math.prod(tensor.shape)
        furthest = sum(
            (side - 1) * stride for side, stride in zip(tensor.shape, tensor.strides, strict=True)
        )
        if count and tensor.offset + furthest >= storage.count:
            raise CheckpointError(f"{self.path}: tensor {name!r} reaches beyond its own values")
        return max(0, count - storage.count) * itemsize


def _leaves(tree: Any, path: Path) -> Iterator[tuple[str, Any]]:
    """Yield every value of nested dicts, lists and tuples, with its name.

    A list that several others share is walked for each of them, so the budget counts the walk.
    """
    waiting: list[tuple[str, Any, int]] = [("", tree, 0)]
    items = 0
    while waiting:
        name, value, depth = waiting.pop()
        items += 1
        if not isinstance(value, (dict, list, tuple)):
            yield name or "the whole", value
            continue
        if depth >= PICKLE_DEPTH:
            raise CheckpointError(f"{path}: its data is nested too deeply to be weights")
        if items + len(waiting) + len(value) > PICKLE_ITEMS:
            raise CheckpointError(f"{path} holds more than {PICKLE_ITEMS:,} entries")
        pairs = list(value.items() if isinstance(value, dict) else enumerate(value))
        prefix = f"{name}." if depth else ""
        try:
            named = [(checked_name(f"{prefix}{key}"), item, depth + 1) for key, item in pairs]
        except ValueError as error:
            raise CheckpointError(f"{path} cannot be read: {error}") from error
        waiting.extend(reversed(named))


def _why_no_archive(path: Path, error: Exception) -> str:
    try:
        with path.open("rb") as file:
            start = file.read(16)
    except OSError:
        return f"{path} cannot be read: {error}"
    if start[:1] == b"\x80" or start[257:262] == b"ustar":
        return (
            f"{path} is of a version before PyTorch 1.6: where PyTorch is installed, save it anew "
            "by torch.save(torch.load(path, weights_only=True), path)"
        )
    return f"{path} cannot be read ({error}): it is damaged, not whole, or no file of PyTorch"
