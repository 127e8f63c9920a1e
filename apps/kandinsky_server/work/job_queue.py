"""The queue of jobs: bounded, oldest first, and filled up with rows of the same kind."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

from kandinsky_server.requests.api_errors import ApiError
from kandinsky_server.work.job import Job

__all__ = ["Batch", "JobQueue"]


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows that run together.

    Attributes:
        rows: The job of each row and the number of its picture.
    """

    rows: tuple[tuple[Job, int], ...]

    @property
    def jobs(self) -> list[Job]:
        """The jobs, each once, the oldest first."""
        return list({id(job): job for job, _ in self.rows}.values())


class JobQueue:
    """Jobs that wait for a worker.

    The oldest job that can run goes first. Rows of other jobs with an equal key fill its batch up,
    but never beyond a size that is compiled. So no kind of request waits for ever.

    Args:
        limit: Jobs that may wait.
        seconds: Seconds of work that may wait.
        cost: Tells about how many seconds a job takes.
        sizes: Numbers of rows that a batch may have; 1 is among them.
        most_bytes: Bytes of the pictures that waiting jobs start from.
    """

    def __init__(
        self,
        limit: int,
        seconds: float,
        cost: Callable[[Job], float],
        sizes: Sequence[int],
        most_bytes: int = 1 << 30,
    ) -> None:
        self.limit = limit
        self._seconds = seconds
        self._cost = cost
        self._sizes = sorted(sizes)
        self._most_bytes = most_bytes
        self._jobs: list[Job] = []
        self._held: set[str] = set()
        self._changed = threading.Condition()
        self._closed = False

    def __len__(self) -> int:
        return len(self._jobs)

    def put(self, job: Job, *, held: bool = False, force: bool = False) -> None:
        """Add a job.

        Args:
            job: The job.
            held: Whether it waits for `release` before it can run.
            force: Whether it is taken beyond all bounds, as a job that was acknowledged before.

        Raises:
            ApiError: The queue is full (429), or is closed (503).
        """
        with self._changed:
            if not force:
                self.require_room()
            self._jobs.append(job)
            if held:
                self._held.add(job.id)
            self._changed.notify_all()

    def require_room(self) -> None:
        """Refuse one more job where too much waits.

        Raises:
            ApiError: The queue is full (429), or is closed (503).
        """
        with self._changed:
            if self._closed:
                raise ApiError(503, "shutting_down", "the server is ending", retry_after=5)
            waiting = sum(map(self._cost, self._jobs))
            size = sum(job.request.input_bytes for job in self._jobs)
            full = waiting > self._seconds or size > self._most_bytes
            if len(self._jobs) >= self.limit or (self._jobs and full):
                raise ApiError(
                    429,
                    "queue_full",
                    f"{len(self._jobs)} requests wait already, about {waiting:.0f} s of work: try "
                    "again later",
                    retry_after=max(1.0, waiting),
                )

    def release(self, job: Job) -> None:
        """Let a job run that was held."""
        with self._changed:
            self._held.discard(job.id)
            self._changed.notify_all()

    def wake(self) -> None:
        """Let the worker look at the queue, as a job in it was cancelled."""
        with self._changed:
            self._changed.notify_all()

    def close(self) -> None:
        """Take no more jobs."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def position(self, job: Job) -> int | None:
        """Return how many jobs are before one; None where it does not wait."""
        with self._changed:
            return self._jobs.index(job) if job in self._jobs else None

    def waiting(self) -> list[Job]:
        """Return the jobs that wait."""
        with self._changed:
            return list(self._jobs)

    def take_ended(self) -> list[Job]:
        """Take out the jobs that were cancelled, whose time is over, or that failed in part."""
        with self._changed:
            ended = [job for job in self._jobs if job.cancelled or job.expired or job.finished]
            for job in ended:
                self._remove(job)
            return ended

    def take(self, timeout: float) -> Batch | None:
        """Return the next batch, or None where there is none for so many seconds."""
        with self._changed:
            self._changed.wait_for(self._ready, timeout)
            if any(job.cancelled or job.expired or job.finished for job in self._jobs):
                return None  # `take_ended` comes first
            first = next((job for job in self._jobs if job.id not in self._held), None)
            return None if first is None else self._batch(first)

    def _ready(self) -> bool:
        return self._closed or any(job.id not in self._held or job.cancelled for job in self._jobs)

    def _batch(self, first: Job) -> Batch:
        key: Hashable = first.request.batch_key
        rows: list[tuple[Job, int]] = []
        for job in [first, *(job for job in self._jobs if job is not first)]:
            same = job is first or (key is not None and job.request.batch_key == key)
            if same and job.id not in self._held:
                rows += [(job, index) for index in range(job.rows_begun, job.rows)]
        size = max(size for size in self._sizes if size <= len(rows))
        rows = rows[:size]
        for job, index in rows:
            job.rows_begun = index + 1
            if job.rows_begun == job.rows:
                self._remove(job)
        return Batch(tuple(rows))

    def _remove(self, job: Job) -> None:
        self._jobs.remove(job)
        self._held.discard(job.id)
