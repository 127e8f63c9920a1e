"""Frees compiled graphs, which MindSpore itself would keep until the process ends."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable
from typing import Any

from mindspore.common import api

__all__ = ["Graph", "free_dropped_graphs"]

# Of graphs that nobody can call any more, MindSpore's names. They wait here, as a graph may be
# dropped at any moment, in any thread, and is freed only with the runtime's lock held.
_dropped: deque[set[str]] = deque()


class Graph:
    """What MindSpore compiles for one call of a function; the function's other calls have others.

    Args:
        function: The function's own `ms.jit`.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._names: set[str] = set()
        weakref.finalize(self, _dropped.append, self._names).atexit = False

    def __call__(self, *tensors: Any) -> Any:
        before = len(api.ms_compile_cache)
        known = set(api.ms_compile_cache) if not self._names else None
        result = self._function(*tensors)
        if known is not None and len(api.ms_compile_cache) > before:
            self._names.update(api.ms_compile_cache - known)
        return result


def free_dropped_graphs() -> None:
    """Free the graphs that nobody can call any more; the runtime's lock is held.

    `ms.ms_memory_recycle` does this with all graphs of the process, those of others too.
    """
    while _dropped:
        names = _dropped.popleft()
        api._cell_graph_executor.del_net_res(None, names)
        api.JitExecutor_.get_instance().del_net_res(None, names)
        api.ms_compile_cache.difference_update(names)
