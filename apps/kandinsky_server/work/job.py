"""A job: one request on its way from the queue to its pictures."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from kandinsky_server.requests.api_errors import ApiError
from kandinsky_server.requests.picture_request import PictureRequest

__all__ = ["FINISHED", "STATES", "Event", "Job", "Made", "State"]

State = Literal["queued", "compiling", "running", "completed", "failed", "cancelled"]
STATES: tuple[State, ...] = get_args(State)
"""All states."""
FINISHED = ("completed", "failed", "cancelled")
"""States that a job never leaves."""
_MOST_EVENTS = 1000
"""Events that are kept for a client that comes back; the oldest previews go first."""


@dataclass(frozen=True, slots=True)
class Made:
    """A finished picture as a file.

    Attributes:
        content: The file's bytes, or None where they lie on the disk.
        seed: The seed that makes it again.
        width: Pixels.
        height: Pixels.
        path: Where they lie on the disk, or None.
    """

    content: bytes | None = field(repr=False)
    seed: int
    width: int
    height: int
    path: Path | None = None

    def read(self) -> bytes:
        """Return the file's bytes."""
        if self.content is not None:
            return self.content
        assert self.path is not None
        return self.path.read_bytes()

    @property
    def size(self) -> int:
        """The number of its bytes."""
        if self.content is not None:
            return len(self.content)
        try:
            return 0 if self.path is None else self.path.stat().st_size
        except OSError:  # somebody removed it: that is no reason to refuse other jobs
            return 0


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a job, for those who watch it.

    Attributes:
        number: Counts a job's events from 1.
        kind: `status`, `progress`, `preview`, `picture` or `end`.
        facts: What happened.
    """

    number: int
    kind: str
    facts: dict[str, Any]


_Watcher = tuple[asyncio.AbstractEventLoop, asyncio.Event]


class Job:
    """One request and what has become of it.

    A worker thread changes it and any thread reads it. Whoever watches it awaits its events.

    Args:
        request: The request.
        owned: Whether a connection waits for it. Such a job ends with its connection.
        job_id: Its id; None makes one.
        created: Seconds since 1970; None is now.
        attempt: How often a process began it before.
        request_id: The id of the HTTP request, for the log.
    """

    def __init__(
        self,
        request: PictureRequest,
        *,
        owned: bool = False,
        job_id: str | None = None,
        created: float | None = None,
        attempt: int = 0,
        request_id: str | None = None,
    ) -> None:
        self.id = job_id or f"job_{secrets.token_hex(12)}"
        self.request = request
        self.owned = owned
        self.created = time.time() if created is None else created
        self.attempt = attempt
        self.request_id = request_id
        self.idempotency: tuple[str, str] | None = None
        self.answered = False  # whether nobody asks for it any more
        self.waiting = 0  # connections that wait for it
        self.state: State = "queued"
        self.step = 0
        self.total_steps = 0
        self.rows_begun = 0
        self.made: dict[int, Made] = {}
        self.error: ApiError | None = None
        self.arrived = time.monotonic()
        # A clock that is put right changes no age, but of jobs that an earlier process made.
        self._age_before = 0.0 if created is None else max(0.0, time.time() - created)
        self.begun: float | None = None
        self.ended: float | None = None
        self.compile_seconds = 0.0
        self.kept_timings: dict[str, float] | None = None  # of an earlier process
        self._cancelled = threading.Event()
        self._lock = threading.Lock()
        self._events: list[Event] = []
        self._count = 0
        self._over = False  # whether the last event is told
        self._watchers: set[_Watcher] = set()
        self._waiters: set[_Watcher] = set()  # who asks for the end alone

    @property
    def finished(self) -> bool:
        """Whether nothing more happens to it."""
        return self.state in FINISHED

    @property
    def cancelled(self) -> bool:
        """Whether somebody asked to stop it."""
        return self._cancelled.is_set()

    @property
    def expired(self) -> bool:
        """Whether its time is over. A job that nobody waits for has no deadline."""
        return self.owned and time.monotonic() - self.arrived > self.request.timeout

    @property
    def age(self) -> float:
        """Seconds since it was created."""
        return self._age_before + time.monotonic() - self.arrived

    @property
    def kept_bytes(self) -> int:
        """The bytes of its pictures, those it started from too."""
        return self.request.input_bytes + sum(made.size for made in self.made.values())

    @property
    def rows(self) -> int:
        """How many pictures it is to make."""
        return len(self.request.seeds)

    @property
    def timings(self) -> dict[str, float]:
        """The seconds that it waited, compiled and worked."""
        if self.kept_timings is not None:
            return self.kept_timings
        ended = time.monotonic() if self.ended is None else self.ended
        begun = ended if self.begun is None else self.begun
        return {
            "queue": round(max(0.0, begun - self.arrived - self.compile_seconds), 4),
            "compile": round(self.compile_seconds, 4),
            "inference": round(ended - begun, 4),
        }

    def cancel(self) -> None:
        """Ask for it to stop. It does so before it begins, or between two steps."""
        self._cancelled.set()

    def change(
        self,
        state: State,
        error: ApiError | None = None,
        then: Callable[[Job], None] | None = None,
    ) -> None:
        """Bring it into a state; one that has finished stays as it is.

        Args:
            state: The state.
            error: Why it failed.
            then: Called where the state changed, before those who watch are told.
        """
        with self._lock:
            if self.state in FINISHED or self.state == state:
                return
            self.state = state
            self.error = error
            if state == "running" and self.begun is None:
                self.begun = time.monotonic()
            if state in FINISHED:
                self.ended = time.monotonic()
        try:
            if then is not None:
                then(self)
        finally:  # or who waits would wait for ever
            facts: dict[str, Any] = {"status": state}
            if error is not None:
                facts |= error.body
            self.tell("end" if state in FINISHED else "status", facts)

    def advance(self, step: int, total: int) -> None:
        """Note that a step is done."""
        self.step, self.total_steps = step, total
        self.tell("progress", {"step": step, "total_steps": total})

    def add(self, index: int, made: Made) -> None:
        """Take a finished picture."""
        self.made[index] = made
        self.tell("picture", {"index": index, "seed": made.seed})

    def tell(self, kind: str, facts: dict[str, Any]) -> None:
        """Give those who watch an event."""
        with self._lock:
            self._count += 1
            self._events.append(Event(self._count, kind, facts))
            self._forget()
            watchers = list(self._watchers)
            if kind == "end":
                self._over = True
                watchers += self._waiters
        for loop, event in watchers:
            with contextlib.suppress(RuntimeError):  # that loop has ended
                loop.call_soon_threadsafe(event.set)

    def _forget(self) -> None:
        """Drop what is of no use any more: old progress, and previews beyond the bound."""
        last = self._events[-1]
        if last.kind == "progress":
            self._events = [event for event in self._events[:-1] if event.kind != "progress"] + [
                last
            ]
        del self._events[: max(0, len(self._events) - _MOST_EVENTS)]

    def drop_previews(self) -> None:
        """Forget the previews, which are of no use beside the pictures."""
        with self._lock:
            self._events = [event for event in self._events if event.kind != "preview"]

    def over_after(self, number: int) -> bool:
        """Tell whether no event follows the one of this number."""
        with self._lock:
            return self._over and not any(event.number > number for event in self._events)

    async def events(self, after: int = 0) -> AsyncIterator[Event]:
        """Yield the events from a number on, as they come, until the job has finished.

        A number that no event has yet stands for the last one.
        """
        with self._lock:
            after = min(after, self._count)
        with self._watched(self._watchers) as awake:
            while True:
                awake.clear()
                with self._lock:
                    over = self._over
                    fresh = [event for event in self._events if event.number > after]
                for event in fresh:
                    yield event
                    after = event.number
                    if event.kind == "end":
                        return
                if over:
                    return
                if not fresh:
                    await awake.wait()

    async def wait(self) -> None:
        """Wait until the job has finished.

        Its steps wake nobody: each would take Python's lock from the thread that makes them.
        """
        with self._watched(self._waiters) as awake:
            with self._lock:
                over = self._over
            if not over:
                await awake.wait()

    @contextlib.contextmanager
    def _watched(self, watchers: set[_Watcher]) -> Iterator[asyncio.Event]:
        awake = asyncio.Event()
        watcher = (asyncio.get_running_loop(), awake)
        with self._lock:
            watchers.add(watcher)
        try:
            yield awake
        finally:
            with self._lock:
                watchers.discard(watcher)
