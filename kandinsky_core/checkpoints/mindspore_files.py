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
import math
from collections.abc import Iterable, Iterator, Set
from pathlib import Path
from typing import Self

import numpy as np

from kandinsky_core.arrays import Array
from kandinsky_core.budgets import TENSOR_AXES, TENSOR_NAME_CHARACTERS, TENSORS
from kandinsky_core.checkpoints.file_identity import file_identity
from kandinsky_core.checkpoints.regular_files import MappedFile
from kandinsky_core.checkpoints.tensor_specs import checked_name, checked_shape
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
            self._map = MappedFile(path, self._identity)
            with self._map.window(0, self._map.size).data as data:
                self._index(data)
        except (OSError, ValueError) as error:
            raise CheckpointError(
                f"{path} cannot be read as MindSpore's ({error}): the file is damaged, encrypted, "
                "or was not copied whole"
            ) from error

    def unchanged(self) -> bool:
        """Tell whether the file is still the one that was read."""
        return file_identity(self.path) == self._identity

    def again(self) -> Self:
        """Return the same tensors as if opened anew: their places are shared, the mapping not.

        Raises:
            CheckpointError: The file is gone, or is no longer the one that was read.
        """
        other = copy.copy(self)
        try:
            other._map = MappedFile(self.path, self._identity)
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{self.path} cannot be read: {error}") from error
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
        parts = [self._map.window(start, end) for start, end in self._pieces[name]]
        values: Array = np.concatenate(parts).view(dtype).reshape(shape)
        return values

    def _index(self, data: memoryview) -> None:
        end = len(data)
        if bytes(data[-_CHECKSUM:-10]) == b"crc_num":
            end -= _CHECKSUM
        for count, (number, kind, start, stop) in enumerate(_fields(data, 0, end)):
            if (number, kind) != (_VALUE, _BYTES):
                raise ValueError("it holds something else than values")
            if count >= TENSORS:
                raise ValueError(f"it holds more than {TENSORS:,} values")
            self._add(data, start, stop)
        for name, (shape, code) in self._specs.items():
            size = STORED[code].size * math.prod(shape)
            if size != sum(stop - start for start, stop in self._pieces[name]):
                raise ValueError(f"tensor {name!r} has more or fewer values than its shape says")

    def _add(self, data: memoryview, start: int, stop: int) -> None:
        """Note name, shape, dtype and place of one value."""
        _, parts = _parts(data, start, stop, {(_TAG, _BYTES), (_TENSOR, _BYTES)})
        name = checked_name(_text(data, *parts[_TAG]))
        allowed = {(_DIMS, _VARINT), (_TYPE, _BYTES), (_CONTENT, _BYTES)}
        dims, fields = _parts(data, *parts[_TENSOR], allowed)
        kind = _text(data, *fields[_TYPE])
        if kind not in _CODES:
            raise ValueError(f"{name!r} is of type {kind!r}")
        # MindSpore writes a scalar as a vector of no values.
        spec = () if dims == [0] else checked_shape(dims), _CODES[kind]
        if self._specs.setdefault(name, spec) != spec:
            raise ValueError(f"tensor {name!r} comes twice")
        self._pieces.setdefault(name, []).append(fields[_CONTENT])


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


def _parts(
    data: memoryview, start: int, end: int, allowed: Set[tuple[int, int]]
) -> tuple[list[int], dict[int, tuple[int, int]]]:
    """Read the fields of one message, of which all but dims must be there once.

    Returns:
        The dims, and start and end of each other field by its number.
    """
    dims: list[int] = []
    parts: dict[int, tuple[int, int]] = {}
    for number, kind, at, to in _fields(data, start, end):
        if (number, kind) not in allowed or number in parts:
            raise ValueError("it holds something else than tensors, or a field twice")
        if kind == _BYTES:
            parts[number] = at, to
        elif len(dims) == TENSOR_AXES:
            raise ValueError(f"a tensor has more than {TENSOR_AXES} axes")
        else:
            dims.append(_varint(data, at, to)[0])
    if set(parts) != {number for number, kind in allowed if kind == _BYTES}:
        raise ValueError("it holds something else than tensors, or a field is missing")
    return dims, parts


def _text(data: memoryview, start: int, stop: int) -> str:
    if stop - start > 4 * TENSOR_NAME_CHARACTERS:  # bytes; a character takes at most four
        raise ValueError(f"a text of {stop - start:,} bytes")
    return bytes(data[start:stop]).decode("utf-8")


def _fields(data: memoryview, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
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


def _varint(data: memoryview, start: int, end: int) -> tuple[int, int]:
    """Return a number and the position behind it."""
    number = 0
    for index in range(10):
        if start + index >= end:
            raise ValueError("it is cut short")
        byte = data[start + index]
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
