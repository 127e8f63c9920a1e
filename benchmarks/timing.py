"""Times one call."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["fastest"]


def fastest(call: Callable[[], object], repeats: int) -> float:
    """Return the seconds of the fastest of several calls, after a first one that may compile.

    Args:
        call: A function that returns only when its result is there.
        repeats: Calls that count.
    """
    call()
    found = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        found.append(time.perf_counter() - start)
    return min(found)
