"""Cancelling a call that is under way, from a callback or another thread."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["StopFlag"]


class StopFlag:
    """A flag that asks a pipeline to stop; a combined pipeline shares one with its halves.

    A request holds until the outermost call ends. So it stops both halves, and it does not stop the
    next call.
    """

    def __init__(self) -> None:
        self.requested = False
        self._depth = 0

    @contextmanager
    def call(self) -> Iterator[None]:
        """Mark a pipeline's call; calls may nest."""
        if self._depth == 0:
            self.requested = False
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
