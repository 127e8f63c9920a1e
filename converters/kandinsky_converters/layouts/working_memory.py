"""Memory that threads use again and again while they load, and memory where JAX takes it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from kandinsky_core.arrays import Array
from kandinsky_core.checkpoints.safetensors_writer import ALIGNMENT

__all__ = ["WorkingMemory", "aligned"]


def aligned(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Return new memory at a multiple of 64 bytes, which JAX on a CPU keeps without a copy."""
    size = dtype.itemsize * math.prod(shape)
    memory: Array = np.empty(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    values: Array = memory[start : start + size].view(dtype).reshape(shape)
    return values


class WorkingMemory:
    """Lends arrays whose memory the next borrower gets.

    The system takes as long to give a process new memory as a core takes to cast numbers into it.
    """

    def __init__(self) -> None:
        self._free: list[Array] = []

    @contextmanager
    def lent(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Iterator[Array]:
        """Lend an array, C-contiguous, that holds anything; several threads may ask at a time."""
        size = dtype.itemsize * math.prod(shape)
        try:
            memory = self._free.pop()  # in one step, whichever threads ask
        except IndexError:
            memory = np.empty(0, np.uint8)
        if memory.size < size:
            memory = np.empty(size, np.uint8)
        yield memory[:size].view(dtype).reshape(shape)
        self._free.append(memory)
