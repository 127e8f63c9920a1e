"""Frees what MindSpore keeps for each shape that it has met eagerly, some 50 MB for a small model.

It would keep these kernels until the process ends, and lets go of them only all at once.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
from collections.abc import Hashable

from mindspore.common import api

from kandinsky_backend_kit.bounded_programs import memory_share, program_limit
from kandinsky_backend_kit.host_memory import resident_memory

__all__ = ["KERNELS", "EagerKernels"]

logger = logging.getLogger("kandinsky_core.compilations")


class EagerKernels:
    """Knows which shapes the process has met; the runtime's lock is held at each call."""

    def __init__(self) -> None:
        self._met: set[Hashable] = set()
        self._before = 0  # bytes that the process took when it had met none

    def meet(self, shape: Hashable) -> None:
        """Free all kernels if this shape is new and there are too many, by number or by memory.

        Args:
            shape: A network and the shape of one of its inputs.

        Raises:
            InvalidInputError: The environment's `KANDINSKY_MAX_PROGRAMS` is wrong.
        """
        if shape in self._met:
            return
        taken, share = resident_memory(), memory_share()
        if not self._met:
            self._before = taken
        full = share is not None and taken - self._before > share
        if full or len(self._met) >= program_limit():
            _free()
            logger.info("dropped MindSpore's kernels for %d shapes of inputs", len(self._met))
            self._met.clear()
            self._before = resident_memory()
        self._met.add(shape)


def _free() -> None:
    api._pynative_executor.sync()
    api._pynative_executor.clear_res()
    # glibc would keep the memory for later, and the growth could not be told.
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


KERNELS = EagerKernels()
"""Those of the process, which has one MindSpore."""
