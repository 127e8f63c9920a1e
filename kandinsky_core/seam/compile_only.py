"""Compiling without computing: what `pipeline.compile` asks of the backends.

The mode belongs to the thread and not to the networks. So a call that another thread makes with the
same pipeline meanwhile computes its picture.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["compile_only", "compiling_only"]

_COMPILING = ContextVar("kandinsky_compile_only", default=False)


@contextmanager
def compile_only() -> Iterator[None]:
    """Within it a call goes its usual way, and what the backends compile does not run.

    A network that compiles ahead of time gives zeros of the shapes that it would have computed; a
    component that is loaded may come without the values of its weights, and then serves nothing
    else. What a backend cannot do so, it does as always. One step stands for a whole schedule.
    """
    token = _COMPILING.set(True)
    try:
        yield
    finally:
        _COMPILING.reset(token)


def compiling_only() -> bool:
    """Whether this thread is within `compile_only`."""
    return _COMPILING.get()
