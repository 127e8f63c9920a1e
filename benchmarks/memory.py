"""Watches how much memory of its own a process takes; windows into files do not count."""

from __future__ import annotations

import threading
from pathlib import Path
from types import TracebackType
from typing import Self

__all__ = ["PeakMemory"]

_INTERVAL = 0.002  # seconds


class PeakMemory:
    """Watches the memory of this process within a `with` statement; Linux only.

    Attributes:
        peak: The largest growth since the start, in MiB.
        kept: The growth from the start to the end, in MiB.
    """

    def __init__(self) -> None:
        self.peak = self.kept = 0.0
        self._stop = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._start = _anonymous_memory()
        self._watcher.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._watcher.join()
        self.kept = _anonymous_memory() - self._start
        self.peak = max(self.peak, self.kept)

    def _watch(self) -> None:
        while not self._stop.wait(_INTERVAL):
            self.peak = max(self.peak, _anonymous_memory() - self._start)


def _anonymous_memory() -> float:
    """Return the anonymous memory of this process in MiB."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("the kernel does not tell a process's anonymous memory")
