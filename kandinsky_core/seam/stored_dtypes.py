"""The one table of the dtypes that files of weights hold: what each is called, and where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

__all__ = ["BY_NAME", "STORED", "StoredDtype"]


@dataclass(frozen=True, slots=True)
class StoredDtype:
    """A dtype of stored values, little-endian, and its name in each kind of file.

    Attributes:
        code: Its name in safetensors' files, and in this library where a dtype is stored.
        numpy: NumPy's dtype; its `name` is the one that JAX, PyTorch and a user's `dtype=` share.
        mindspore: Its name in MindSpore's files.
        torch: The class of its storages in PyTorch's files.
        floating: Whether a weight can have it.
    """

    code: str
    numpy: np.dtype[Any]
    mindspore: str
    torch: str
    floating: bool = False

    @property
    def name(self) -> str:
        """Its name as `dtype=` takes it: `float32`."""
        return self.numpy.name

    @property
    def size(self) -> int:
        """Bytes of one value."""
        return self.numpy.itemsize


STORED: Mapping[str, StoredDtype] = {
    entry.code: entry
    for entry in (
        StoredDtype("F64", np.dtype("<f8"), "Float64", "DoubleStorage", floating=True),
        StoredDtype("F32", np.dtype("<f4"), "Float32", "FloatStorage", floating=True),
        StoredDtype("F16", np.dtype("<f2"), "Float16", "HalfStorage", floating=True),
        StoredDtype(
            "BF16", np.dtype(ml_dtypes.bfloat16), "BFloat16", "BFloat16Storage", floating=True
        ),
        StoredDtype("I64", np.dtype("<i8"), "Int64", "LongStorage"),
        StoredDtype("I32", np.dtype("<i4"), "Int32", "IntStorage"),
        StoredDtype("I16", np.dtype("<i2"), "Int16", "ShortStorage"),
        StoredDtype("I8", np.dtype("i1"), "Int8", "CharStorage"),
        StoredDtype("U8", np.dtype("u1"), "UInt8", "ByteStorage"),
        StoredDtype("BOOL", np.dtype("?"), "Bool", "BoolStorage"),
    )
}
"""The dtypes by safetensors' names."""

BY_NAME: Mapping[str, StoredDtype] = {entry.name: entry for entry in STORED.values()}
"""The dtypes by NumPy's names, which are those that JAX, PyTorch and `dtype=` use."""
