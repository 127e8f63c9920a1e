"""The mode in which backends compile and do not compute; `pipeline.compile` uses it.

The mode belongs to the thread and not to the networks. So another thread that calls the same
pipeline meanwhile gets its picture.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["compile_only", "compiling_only"]

_COMPILING = ContextVar("kandinsky_compile_only", default=False)


@contextmanager
def compile_only() -> Iterator[None]:
    """Make the backends compile instead of compute, for the calls inside a `with` block.

    A network that compiles ahead of time returns zeros of the shapes that it would have computed. A
    component that is loaded here may lack the values of its weights; then it serves nothing else. A
    backend runs as always what it cannot compile ahead of time. One step stands for a whole
    schedule.
    """
    token = _COMPILING.set(True)
    try:
        yield
    finally:
        _COMPILING.reset(token)


def compiling_only() -> bool:
    """Whether this thread is within `compile_only`."""
    return _COMPILING.get()
