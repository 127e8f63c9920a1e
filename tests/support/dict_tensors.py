"""A checkpoint held in a dict, for tests of what reads checkpoints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

_CODES = {
    np.dtype(np.float64): "F64",
    np.dtype(np.float32): "F32",
    np.dtype(np.float16): "F16",
    np.dtype(ml_dtypes.bfloat16): "BF16",
    np.dtype(np.int64): "I64",
}


class DictTensors:
    """A `Tensors` that notes what was read, in `reads`."""

    def __init__(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        self.arrays = dict(arrays)
        self.reads: list[str] = []

    def names(self) -> Iterable[str]:
        return list(self.arrays)

    def spec(self, name: str) -> tuple[tuple[int, ...], str]:
        array = self.arrays[name]
        return array.shape, _CODES[array.dtype]

    def read(self, name: str) -> npt.NDArray[Any]:
        self.reads.append(name)
        return self.arrays[name]
