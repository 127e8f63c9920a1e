"""Which calls of a pipeline are under way, and which of them are to stop.

A call belongs to the thread, or the asyncio task, that makes it. There `interrupt` stops that call
alone. Elsewhere no call is known, so `interrupt` stops all that are under way; a request stops one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Lock
from typing import Any

from kandinsky_core.errors import InvalidInputError

__all__ = ["Call", "Calls"]

_LOCK = Lock()  # guards the state of all calls; it is held for an instant


class Call:
    """One call of a pipeline, from its request to its result.

    Attributes:
        begun: Whether a run has taken it.
        stopping: Whether it is to stop at the end of its present step.
        loops: The state of its latest loop of each pipeline, by the pipeline's `id`.
    """

    __slots__ = ("begun", "loops", "stopping")

    def __init__(self) -> None:
        self.begun = False
        self.stopping = False
        self.loops: dict[int, Any] = {}

    def begin(self) -> None:
        """Take the call for a run, which only one run can do.

        Raises:
            InvalidInputError: A run has taken it before.
        """
        with _LOCK:
            begun, self.begun = self.begun, True
        if begun:
            raise InvalidInputError(
                "this request has been run, and its generators have moved on since: prepare "
                "another one, with the same seed for the same pictures"
            )


class Calls:
    """The calls of one pipeline that are under way; the halves of a combined one share them.

    Nothing here outlives a call, so a call that is stopped stops no other.
    """

    def __init__(self) -> None:
        self._under_way: set[Call] = set()

    @property
    def current(self) -> Call | None:
        """The innermost call of this thread or task."""
        return next((call for owner, call in reversed(_CURRENT.get()) if owner is self), None)

    @contextmanager
    def under_way(self, call: Call) -> Iterator[None]:
        """Mark a call as under way, and as the current one of this thread.

        The call takes over the place of one that has not begun. That one stands for it while its
        arguments are checked.
        """
        before = self.current
        with _LOCK:
            if before is not None and not before.begun:
                call.stopping |= before.stopping
            self._under_way.add(call)
        token = _CURRENT.set((*_CURRENT.get(), (self, call)))
        try:
            yield
        finally:
            _CURRENT.reset(token)
            with _LOCK:
                self._under_way.discard(call)

    @contextmanager
    def running(self, call: Call) -> Iterator[None]:
        """Begin a call and mark it as under way; a half of a combined call joins that call.

        Raises:
            InvalidInputError: A run has taken the call before.
        """
        if self.current is call:
            yield
            return
        call.begin()
        with self.under_way(call):
            yield

    def affected(self) -> tuple[Call, ...]:
        """Return the current call; where there is none, all calls that are under way now."""
        current = self.current
        if current is not None:
            return (current,)
        with _LOCK:
            return tuple(self._under_way)

    def stop(self) -> None:
        """Stop the current call; where there is none, all calls that are under way now."""
        current = self.current
        with _LOCK:
            for call in self._under_way if current is None else (current,):
                call.stopping = True

    def go_on(self) -> None:
        """Take back what `stop` asked of the current call; other calls are left alone."""
        current = self.current
        if current is not None:
            current.stopping = False

    @property
    def stopping(self) -> bool:
        """Whether the current call is to stop; where there is none, whether any call is."""
        current = self.current
        with _LOCK:
            return any(
                call.stopping for call in (self._under_way if current is None else (current,))
            )


# The calls of this thread or task with their owners, the innermost last.
_CURRENT: ContextVar[tuple[tuple[Calls, Call], ...]] = ContextVar("kandinsky_calls", default=())
