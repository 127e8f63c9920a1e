"""Files as `torch.save` writes them, made without PyTorch."""

from __future__ import annotations

import pickle
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["pickled_state", "write_archive", "write_torch_file"]

_STORAGES = {
    "float32": "FloatStorage",
    "float16": "HalfStorage",
    "bfloat16": "BFloat16Storage",
    "int64": "LongStorage",
}


def write_torch_file(path: Path, tensors: Mapping[str, npt.NDArray[Any]]) -> Path:
    """Write a state dict of C-contiguous tensors."""
    values = {str(index): array.tobytes() for index, array in enumerate(tensors.values())}
    return write_archive(path, pickled_state(tensors), values)


def write_archive(path: Path, pickled: bytes, values: Mapping[str, bytes]) -> Path:
    """Write a zip archive of a pickle and storages."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/byteorder", "little")
        for key, content in values.items():
            archive.writestr(f"archive/data/{key}", content)
        archive.writestr("archive/version", "3\n")
    return path


def pickled_state(tensors: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """An OrderedDict of tensors, each the whole of its own storage."""
    items = b"".join(
        _text(name) + _tensor(str(index), array)
        for index, (name, array) in enumerate(tensors.items())
    )
    return b"\x80\x02ccollections\nOrderedDict\n)R(" + items + b"u."


def _tensor(key: str, array: npt.NDArray[Any]) -> bytes:
    storage = _STORAGES[array.dtype.name].encode()
    strides = [stride // array.itemsize for stride in array.strides]
    return (
        b"ctorch._utils\n_rebuild_tensor_v2\n(("
        + _text("storage")
        + b"ctorch\n"
        + storage
        + b"\n"
        + _text(key)
        + _text("cpu")
        + _number(array.size)
        + b"tQ"
        + _number(0)
        + b"("
        + b"".join(map(_number, array.shape))
        + b"t("
        + b"".join(map(_number, strides))
        + b"t\x89ccollections\nOrderedDict\n)RtR"
    )


def _text(text: str) -> bytes:
    content = text.encode()
    return b"X" + struct.pack("<I", len(content)) + content


def _number(number: int) -> bytes:
    return pickle.dumps(int(np.int64(number)), 2)[2:-1]
