"""How much memory of its own a process takes meanwhile: windows into files do not count."""

from __future__ import annotations

import threading
from pathlib import Path
from types import TracebackType
from typing import Self

__all__ = ["PeakMemory"]

_INTERVAL = 0.002  # seconds


class PeakMemory:
    """Watches in a `with` statement; Linux only.

    Attributes:
        peak: MiB beyond those at the start, at most.
        kept: MiB beyond those at the start, at the end.
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
    """MiB."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("the kernel does not tell a process's anonymous memory")
