"""Maps and writes MindSpore's `.ckpt` files, without MindSpore.

Such a file is one protobuf message, or several in a row, which mean the same:

    message Checkpoint  { repeated Value value = 1; }
    message Value       { required string tag = 1; optional TensorProto tensor = 2; }
    message TensorProto { repeated int64 dims = 1; required string tensor_type = 2;
                          required bytes tensor_content = 3; }

Here a tensor larger than 512 MB is cut into consecutive values of the same tag, as by MindSpore.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Self

import numpy as np

from kandinsky_core.arrays import Array
from kandinsky_core.checkpoints.file_identity import file_identity
from kandinsky_core.errors import CheckpointError
from kandinsky_core.seam.stored_dtypes import STORED

__all__ = ["MindSporeFile", "encode_header"]

_CODES = {entry.mindspore: entry.code for entry in STORED.values()}

_VARINT, _BYTES = 0, 2  # wire types
_VALUE = 1  # field of Checkpoint
_TAG, _TENSOR = 1, 2  # fields of Value
_DIMS, _TYPE, _CONTENT = 1, 2, 3  # fields of TensorProto
_CHECKSUM = 17  # bytes; MindSpore may append `crc_num` and ten digits


class MindSporeFile:
    """The tensors of one `.ckpt` file.

    Args:
        path: The file.

    Raises:
        CheckpointError: The file is damaged, encrypted, or no file of MindSpore.
    """

    layout = "mindspore"

    def __init__(self, path: Path) -> None:
        self.path = path
        self._identity = file_identity(path)
        self._specs: dict[str, tuple[tuple[int, ...], str]] = {}
        self._pieces: dict[str, list[tuple[int, int]]] = {}  # start and end of the values
        try:
            if path.stat().st_size == 0:
                raise ValueError("it is empty")
            self._map: Array = _mapped(path)
            self._index()
        except (OSError, ValueError, IndexError, KeyError) as error:
            raise CheckpointError(
                f"{path} cannot be read as MindSpore's ({error}): the file is damaged, encrypted, "
                "or was not copied whole"
            ) from error

    def unchanged(self) -> bool:
        """Tell whether the file is still the one that was read."""
        return file_identity(self.path) == self._identity

    def again(self) -> Self:
        """Return the same tensors as if opened anew: their places are shared, the mapping not."""
        other = copy.copy(self)
        other._map = _mapped(self.path)
        return other

    def names(self) -> Iterable[str]:
        """See `Tensors.names`."""
        return self._specs.keys()

    def spec(self, name: str) -> tuple[tuple[int, ...], str]:
        """See `Tensors.spec`."""
        return self._specs[name]

    def read(self, name: str) -> Array:
        """See `Tensors.read`; the array is a copy, since values in the file are not aligned."""
        shape, code = self._specs[name]
        dtype = STORED[code].numpy
        parts = [self._map[start:end] for start, end in self._pieces[name]]
        values: Array = np.concatenate(parts).view(dtype).reshape(shape)
        return values

    def _index(self) -> None:
        end = len(self._map)
        if self._map[-_CHECKSUM:-10].tobytes() == b"crc_num":
            end -= _CHECKSUM
        for number, kind, start, stop in _fields(self._map, 0, end):
            if (number, kind) != (_VALUE, _BYTES):
                raise ValueError("it holds something else than values")
            self._add(start, stop)
        for name, (shape, code) in self._specs.items():
            size = STORED[code].size
            for side in shape:
                size *= side
            if size != sum(stop - start for start, stop in self._pieces[name]):
                raise ValueError(f"tensor {name!r} has more or fewer values than its shape says")

    def _add(self, start: int, stop: int) -> None:
        """Note name, shape, dtype and place of one value."""
        parts = {number: (at, to) for number, _, at, to in _fields(self._map, start, stop)}
        if set(parts) != {_TAG, _TENSOR}:
            raise ValueError("it holds something else than tensors")
        name = self._text(*parts[_TAG])
        dims, code, content = [], "", (0, 0)
        for number, kind, at, to in _fields(self._map, *parts[_TENSOR]):
            if number == _DIMS and kind == _VARINT:
                dims.append(_varint(self._map, at, to)[0])
            elif number == _TYPE:
                text = self._text(at, to)
                if text not in _CODES:
                    raise ValueError(f"{name!r} is of type {text!r}")
                code = _CODES[text]
            elif number == _CONTENT:
                content = at, to
        spec = () if dims == [0] else tuple(dims), code  # MindSpore writes a scalar like this
        if self._specs.setdefault(name, spec) != spec or len(dims) > 8:
            raise ValueError(f"tensor {name!r} comes twice")
        self._pieces.setdefault(name, []).append(content)

    def _text(self, start: int, stop: int) -> str:
        return self._map[start:stop].tobytes().decode("utf-8")


def _mapped(path: Path) -> Array:
    return np.asarray(np.memmap(path, np.uint8, mode="c"))


def encode_header(name: str, shape: tuple[int, ...], dtype: str, content_size: int) -> bytes:
    """Return the bytes that stand before the values of a tensor or of a piece of it.

    Args:
        name: Name of the tensor.
        shape: Shape of the whole tensor.
        dtype: MindSpore's name of the dtype.
        content_size: Bytes of values that follow.
    """
    tensor = b"".join(_encode(_DIMS << 3 | _VARINT) + _encode(side) for side in shape or (0,))
    tensor += _tagged(_TYPE, dtype.encode())
    tensor += _encode(_CONTENT << 3 | _BYTES) + _encode(content_size)
    value = _tagged(_TAG, name.encode("utf-8"))
    value += _encode(_TENSOR << 3 | _BYTES) + _encode(len(tensor) + content_size) + tensor
    return _encode(_VALUE << 3 | _BYTES) + _encode(len(value) + content_size) + value


def _fields(data: Array, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield number, wire type, and start and end of the content of each field of a message."""
    while start < end:
        key, start = _varint(data, start, end)
        kind = key & 7
        if kind == _VARINT:
            stop = _varint(data, start, end)[1]
        elif kind == _BYTES:
            length, start = _varint(data, start, end)
            stop = start + length
        else:
            raise ValueError(f"wire type {kind}")
        if stop > end:
            raise ValueError("it is cut short")
        yield key >> 3, kind, start, stop
        start = stop


def _varint(data: Array, start: int, end: int) -> tuple[int, int]:
    """Return a number and the position behind it."""
    number = 0
    for index in range(10):
        if start + index >= end:
            raise ValueError("it is cut short")
        byte = int(data[start + index])
        number |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            if number >= 1 << 63:
                raise ValueError("a number is too large")
            return number, start + index + 1
    raise ValueError("a number has no end")


def _tagged(field: int, content: bytes) -> bytes:
    return _encode(field << 3 | _BYTES) + _encode(len(content)) + content


def _encode(number: int) -> bytes:
    groups = []
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*groups, number])
