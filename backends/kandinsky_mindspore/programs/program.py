"""Has MindSpore compile functions, once for each shape, and logs every compilation."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import mindspore as ms

from kandinsky_backend_kit.bounded_programs import BoundedPrograms, make_room
from kandinsky_backend_kit.host_memory import resident_memory
from kandinsky_core.seam.compilations import CompilationLog
from kandinsky_mindspore.programs.graphs import Graph, free_dropped_graphs

__all__ = ["CompiledFunction"]


class CompiledFunction:
    """A function of tensors that MindSpore compiles when it meets new shapes.

    Its programs are among those that `kandinsky_backend_kit.bounded_programs` bounds: one that was
    dropped is compiled again.

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
        self._function = function
        self._name, self._log, self._around = name, log, around
        self._graphs: BoundedPrograms[Graph] = BoundedPrograms()
        self._size = 0

    def __call__(self, sample: Any, *tensors: Any) -> Any:
        """Run the function, with the runtime's lock held; the tensors' shapes decide the program.

        Raises:
            DeviceMemoryError: The process has no room for another program.
        """
        key = tuple(tuple(tensor.shape) for tensor in (sample, *tensors))
        graph = self._graphs.get(key)
        if graph is not None:
            return graph(sample, *tensors)
        make_room()
        free_dropped_graphs()
        before, start = resident_memory(), time.perf_counter()
        graph = Graph(ms.jit(self._function, jit_level="O0"))
        with self._around:
            result = graph(sample, *tensors)
        seconds, shape = time.perf_counter() - start, str(tuple(sample.shape))
        self._log.add(self._name, shape, seconds)
        # MindSpore tells no size, and what a program takes may have been another's. So each counts
        # as much as the largest, with the room for its activations.
        self._size = max(self._size, resident_memory() - before)
        self._graphs.add(key, graph, f"{self._name} for shape {shape}", self._size)
        return result
