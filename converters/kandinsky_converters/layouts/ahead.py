"""Does the same work for many tensors on several threads, and gives the results in order."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

__all__ = ["ahead", "usable_cores"]

_Result = TypeVar("_Result")

_MOST_THREADS = 8  # more threads than that wait for memory, not for a core
_BYTES_AHEAD = 256 * 2**20
_SMALL = 2**18  # bytes; so small a tensor is done before a thread has woken up


def usable_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def ahead(
    names: Iterable[str],
    size: Callable[[str], int],
    work: Callable[[str], _Result],
    *,
    threads: int | None = None,
) -> Iterator[tuple[str, _Result]]:
    """Yield each name and the result of its work, in the given order.

    NumPy and JAX let other threads run while they copy, and while they wait for a file.

    Args:
        names: The names of the tensors.
        size: Gives the bytes that a tensor takes while it is worked on. Tensors of 256 MiB
            together, or one larger one, are under way at a time.
        work: The work. Small tensors are done in the calling thread.
        threads: How many threads work; the usable cores, at most eight, if none is given.

    Raises:
        Exception: What `work` raises, once its turn comes. Nothing is begun after that.
    """
    threads = min(usable_cores(), _MOST_THREADS) if threads is None else threads
    if threads < 2:
        yield from ((name, work(name)) for name in names)
        return
    waiting: deque[tuple[str, int, Future[_Result]]] = deque()
    held = 0
    with ThreadPoolExecutor(threads, thread_name_prefix="kandinsky-weights") as pool:
        try:
            for name in names:
                own = size(name)
                while waiting and (held + own > _BYTES_AHEAD or waiting[0][2].done()):
                    first, its_size, future = waiting.popleft()
                    held -= its_size
                    yield first, future.result()
                waiting.append((name, own, _begun(pool, work, name, own)))
                held += own
            for name, _, future in waiting:
                yield name, future.result()
        finally:
            for _, _, future in waiting:
                future.cancel()


def _begun(
    pool: ThreadPoolExecutor, work: Callable[[str], _Result], name: str, size: int
) -> Future[_Result]:
    if size > _SMALL:
        return pool.submit(work, name)
    done: Future[_Result] = Future()
    done.set_result(work(name))
    return done
