"""Has MindSpore compile functions, once for each shape, and logs every compilation."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import mindspore as ms

from kandinsky_core.seam.compilations import CompilationLog

__all__ = ["CompiledFunction"]


class CompiledFunction:
    """A function of tensors that MindSpore compiles when it meets a new shape.

    Args:
        function: A function defined in a file, which takes tensors and returns one. The objects
            that it closes over are fixed.
        name: The function's name in the log.
        log: Where compilations are recorded.
        around: A context that is entered around each compilation, so more than once.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        name: str,
        log: CompilationLog,
        around: AbstractContextManager[None],
    ) -> None:
        self._run = ms.jit(function, jit_level="O0")
        self._name, self._log, self._around = name, log, around
        self._shapes: set[tuple[int, ...]] = set()

    def __call__(self, sample: Any, *tensors: Any) -> Any:
        """Run the function; the shape of `sample` decides the program."""
        shape = tuple(sample.shape)
        if shape in self._shapes:
            return self._run(sample, *tensors)
        start = time.perf_counter()
        with self._around:
            result = self._run(sample, *tensors)
        self._shapes.add(shape)
        self._log.add(self._name, str(shape), time.perf_counter() - start)
        return result
