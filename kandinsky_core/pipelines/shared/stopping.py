"""Cancelling a call that is under way, from a callback or another thread."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["StopFlag"]


class StopFlag:
    """Asks a pipeline to stop. A combined pipeline shares one with its halves.

    A request holds until the outermost call ends, so that it stops both halves, and none is left
    over for the next call.
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
