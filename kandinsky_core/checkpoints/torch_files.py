"""Maps weight files that PyTorch saved (`.bin`, `.ckpt`, `.pt`, `.th`), without PyTorch.

Such a file is a zip archive without compression. It holds a pickle that describes the tensors, and
one member of raw values for each storage. `torch_pickle` explains why reading the pickle is safe.
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from kandinsky_core.arrays import Array
from kandinsky_core.checkpoints.torch_pickle import Storage, StridedTensor, read_pickle
from kandinsky_core.errors import CheckpointError
from kandinsky_core.seam.stored_dtypes import STORED

__all__ = ["TorchFile"]

_DEPTH = 4  # of dicts in dicts; the originals of Kandinsky 3 have two
_LOCAL_HEADER = struct.Struct("<4s5H3I2H")


class TorchFile:
    """The tensors of one file, by name.

    Dots join the names of nested dicts; items of a tuple or list are named by their positions.
    Entries that are no tensors (an epoch, a version) are left out and listed in `others`.

    Args:
        path: The file.

    Attributes:
        others: Names of the file's entries that are no tensors.

    Raises:
        CheckpointError: The file is damaged, is no such archive, or its pickle asks for more than
            data.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.others: list[str] = []
        self._tensors: dict[str, StridedTensor] = {}
        try:
            with zipfile.ZipFile(path) as archive:
                tree = self._read_members(archive)
        except (zipfile.BadZipFile, NotImplementedError, OSError, EOFError) as error:
            raise CheckpointError(_why_no_archive(path, error)) from error
        except (KeyError, ValueError, struct.error) as error:
            raise CheckpointError(f"{path} is damaged ({error!r}): fetch it again") from error
        for name, value in _leaves(tree, path):
            if isinstance(value, StridedTensor):
                self._check(name, value)
                self._tensors[name] = value
            else:
                self.others.append(name)
        self._map: Array | None = None

    def names(self) -> Iterable[str]:
        """See `Tensors.names`."""
        return self._tensors.keys()

    def spec(self, name: str) -> tuple[tuple[int, ...], str]:
        """See `Tensors.spec`."""
        tensor = self._tensors[name]
        return tensor.shape, tensor.storage.dtype

    def read(self, name: str) -> Array:
        """See `Tensors.read`; the array is a window into the file where the values are aligned."""
        tensor = self._tensors[name]
        dtype = STORED[tensor.storage.dtype].numpy
        if self._map is None:
            self._map = np.asarray(np.memmap(self.path, np.uint8, mode="c"))
        start, size = self._storages[tensor.storage.key]
        flat = np.require(self._map[start : start + size].view(dtype), requirements="A")
        strides = tuple(stride * dtype.itemsize for stride in tensor.strides)
        values: Array = np.lib.stride_tricks.as_strided(
            flat[tensor.offset :], tensor.shape, strides, writeable=False
        )
        return values

    def _read_members(self, archive: zipfile.ZipFile) -> Any:
        """Note the places of the storages, and read the pickle."""
        members = {PurePosixPath(item.filename): item for item in archive.infolist()}
        pickles = [name for name in members if name.name == "data.pkl"]
        if len(pickles) != 1 or len(members) != len(archive.infolist()):
            raise CheckpointError(
                f"{self.path} is a zip archive, but none of weights: "
                f"it holds {len(pickles)} data.pkl"
            )
        root = pickles[0].parent
        if any(item.compress_type != zipfile.ZIP_STORED for item in members.values()):
            raise CheckpointError(f"{self.path} is compressed, which PyTorch never does")
        if root / "byteorder" in members:
            order = archive.read(members[root / "byteorder"])
            if order != b"little":
                raise CheckpointError(f"{self.path} has {order[:16]!r} byte order, not little")
        with self.path.open("rb") as file:
            file_size = file.seek(0, 2)
            self._storages = {
                name.name: _extent(file, item, file_size)
                for name, item in members.items()
                if name.parent == root / "data"
            }
        try:
            return read_pickle(archive.read(members[pickles[0]]))
        except CheckpointError as error:
            raise CheckpointError(f"{self.path} is refused: {error}") from error

    def _check(self, name: str, tensor: StridedTensor) -> None:
        """Refuse a tensor that exceeds its storage, or whose storage is not whole."""
        storage: Storage = tensor.storage
        itemsize = STORED[storage.dtype].size
        _, size = self._storages.get(storage.key, (0, -1))
        if size != storage.count * itemsize:
            raise CheckpointError(
                f"{self.path}: the values of tensor {name!r} are missing or cut short: "
                "fetch it again"
            )
        count = 1
        for side in tensor.shape:
            count *= side
        furthest = sum(
            (side - 1) * stride for side, stride in zip(tensor.shape, tensor.strides, strict=True)
        )
        inside = count == 0 or tensor.offset + furthest < storage.count
        if not inside or count > storage.count or len(tensor.shape) > 8:
            raise CheckpointError(f"{self.path}: tensor {name!r} reaches beyond its own values")


def _extent(file: Any, item: zipfile.ZipInfo, file_size: int) -> tuple[int, int]:
    """Return where the bytes of a member begin, and how many there are."""
    file.seek(item.header_offset)
    header = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
    if header[0] != b"PK\x03\x04":
        raise ValueError(f"no header of {item.filename}")
    start = item.header_offset + _LOCAL_HEADER.size + header[9] + header[10]
    if start + item.file_size > file_size:
        raise ValueError(f"{item.filename} is cut short")
    return start, item.file_size


def _leaves(tree: Any, path: Path, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Yield every value of nested dicts, lists and tuples, with its name."""
    if isinstance(tree, (list, tuple)):
        tree = dict(enumerate(tree))
    if not isinstance(tree, dict):
        yield prefix.removesuffix(".") or "the whole", tree
        return
    if depth >= _DEPTH:
        raise CheckpointError(f"{path}: its data is nested too deeply to be weights")
    for key, value in tree.items():
        yield from _leaves(value, path, f"{prefix}{key}.", depth + 1)


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
