"""The worker: one thread that makes pictures, as a device is driven by one thread."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from kandinsky_core.errors import (
    DeviceMemoryError,
    InvalidInputError,
    KandinskyError,
    NonFiniteError,
)
from kandinsky_server.requests.api_errors import ApiError
from kandinsky_server.work.engine import Drawn, Row, Step, Watch
from kandinsky_server.work.job import Job, Made
from kandinsky_server.work.job_queue import Batch, JobQueue
from kandinsky_server.work.picture_files import picture_file, preview_file
from kandinsky_server.work.rates import Rates

__all__ = ["Listener", "Worker", "as_api_error"]

logger = logging.getLogger("kandinsky_server")

_IDLE = 1.0
"""Seconds after which an idle worker shows that it lives."""
_MOST_FAILURES = 3
"""Device errors in a row after which a device is taken for broken."""
_PAUSE = 30.0
"""Seconds from one try of a broken device to the next, where others do the work meanwhile."""


class Listener(Protocol):
    """Told of what a worker does, for metrics and the store."""

    def began(self, batch: Batch) -> None:
        """A batch begins."""

    def stepped(self, batch: Batch, step: Step, seconds: float) -> None:
        """A step is done."""

    def finished(self, job: Job) -> None:
        """A job has ended, one way or the other; what it made is in it."""


class Worker(threading.Thread):
    """Takes batches from the queue and runs them until it is told to end.

    Attributes:
        heartbeat: When it last did something, by the monotonic clock.
        slowest: Seconds of the slowest step so far.
        failures: Device errors in a row.
    """

    def __init__(
        self,
        queue: JobQueue,
        run: Callable[[Sequence[Row], Watch], Sequence[Drawn] | None],
        rates: Rates,
        listener: Listener,
        *,
        alone: bool = True,
    ) -> None:
        super().__init__(name="kandinsky-worker", daemon=True)
        self._queue = queue
        self._run_rows = run
        self._rates = rates
        self._listener = listener
        self._alone = alone
        self._ending = threading.Event()
        self._stopping = threading.Event()
        self.idle = threading.Event()
        self.heartbeat = time.monotonic()
        self.slowest = 0.0
        self.failures = 0
        self._rested = 0.0

    @property
    def broken(self) -> bool:
        """Whether its device has failed again and again."""
        return self.failures >= _MOST_FAILURES

    def end(self, *, at_once: bool = False) -> None:
        """End after the present batch, or after the present step."""
        self._ending.set()
        if at_once:
            self._stopping.set()
        self._queue.wake()

    def run(self) -> None:
        """Work until the end."""
        while not self._ending.is_set():
            self.heartbeat = time.monotonic()
            for job in self._queue.take_ended():
                self._give_up(job)
            self.idle.set()
            if self.broken and not self._alone and time.monotonic() < self._rested:
                self._ending.wait(_IDLE)  # or it would fail all that others could do
                continue
            batch = self._queue.take(_IDLE)
            if batch is not None:
                self.idle.clear()
                self._run_safely(batch)
        self.idle.set()

    def _run_safely(self, batch: Batch) -> None:
        """Run a batch; whatever goes wrong, the worker goes on, and no job waits for ever."""
        try:
            self._run(batch)
        except Exception as error:
            logger.error("a batch failed beside its pictures", exc_info=error)
            for job in batch.jobs:
                job.change("failed", as_api_error(error))

    def _run(self, batch: Batch) -> None:
        jobs = [job for job in batch.jobs if not job.finished]
        for job in jobs:
            job.change("running")
        self._listener.began(batch)
        rows = [Row(job.request, job.request.seeds[index]) for job, index in batch.rows]
        watch = _Watch(batch, self)
        begun = time.monotonic()
        try:
            drawn = self._run_rows(rows, watch)
            if drawn is not None:
                self._deliver(batch, drawn)
                self._rates.measured(rows[0].request, len(rows), time.monotonic() - begun)
            self.failures = 0
        except Exception as error:  # noqa: BLE001  # one job's failure must not end the server
            self._fail(batch, error)
        for job in jobs:
            self._settle(job)

    def _deliver(self, batch: Batch, drawn: Sequence[Drawn]) -> None:
        for (job, index), one in zip(batch.rows, drawn, strict=True):
            if not job.finished:
                content = picture_file(one, job.request)
                width, height = one.image.size
                job.add(index, Made(content, job.request.seeds[index], width, height))

    def _fail(self, batch: Batch, error: Exception) -> None:
        found = as_api_error(error)
        if found.status >= 500:
            self.failures += 1
            self._rested = time.monotonic() + _PAUSE
            logger.error("a batch failed", exc_info=error)
        for job in batch.jobs:
            job.change("failed", found, self._listener.finished)

    def _settle(self, job: Job) -> None:
        """Bring a job to its end, if this batch was its last."""
        if job.finished:
            return
        if len(job.made) == job.rows:
            job.change("completed", then=self._listener.finished)
        elif job.cancelled or job.expired:
            self._give_up(job)

    def _give_up(self, job: Job) -> None:
        if job.cancelled:
            job.change("cancelled", then=self._listener.finished)
        else:
            late = f"the request took more than its {job.request.timeout:g} s"
            error = ApiError(504, "deadline_exceeded", late)
            job.change("failed", error, self._listener.finished)

    @property
    def stopping(self) -> bool:
        """Whether the present batch is to stop at its next step."""
        return self._stopping.is_set()

    def stepped(self, batch: Batch, step: Step, seconds: float) -> None:
        """Note a step."""
        self.heartbeat = time.monotonic()
        self.slowest = max(self.slowest, seconds)
        self._listener.stepped(batch, step, seconds)


class _Watch:
    """Follows the steps of one batch: tells its jobs, sends previews, and stops it."""

    def __init__(self, batch: Batch, worker: Worker) -> None:
        self._batch = batch
        self._worker = worker
        self._before = time.monotonic()
        self._previewed: dict[str, int] = {}

    def __call__(self, step: Step) -> bool:
        now = time.monotonic()
        self._worker.stepped(self._batch, step, now - self._before)
        self._before = now
        for job in self._batch.jobs:
            job.advance(step.number, step.total)
        self._show(step)
        if self._worker.stopping:
            return True
        return all(job.cancelled or job.expired for job in self._batch.jobs)

    def _show(self, step: Step) -> None:
        """Send the previews that are due, spread evenly over the steps."""
        if step.previews is None or step.number == step.total:
            return
        due = {
            job.id
            for job in self._batch.jobs
            if step.number * (job.request.partial_images + 1) // step.total
            > self._previewed.get(job.id, 0)
        }
        if not due:
            return
        for (job, index), image in zip(self._batch.rows, step.previews(), strict=True):
            if job.id in due:
                number = self._previewed.get(job.id, 0)
                facts: dict[str, Any] = {
                    "index": index,
                    "number": number,
                    "seed": job.request.seeds[index],
                }
                facts |= {"step": step.number, "total_steps": step.total}
                facts["size"] = f"{image.width}x{image.height}"  # not the finished picture's
                job.tell("preview", {**facts, "content": preview_file(image, job.request)})
        for job_id in due:
            self._previewed[job_id] = self._previewed.get(job_id, 0) + 1


def as_api_error(error: Exception) -> ApiError:
    """Return what a client is told of an error. A traceback never goes out."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, NonFiniteError):
        return ApiError(500, "non_finite", str(error))
    if isinstance(error, (DeviceMemoryError, MemoryError)):
        return ApiError(503, "out_of_memory", str(error) or "memory did not suffice")
    if isinstance(error, InvalidInputError):
        return ApiError(400, "invalid_value", str(error))
    if isinstance(error, KandinskyError):
        return ApiError(500, "generation_failed", str(error))
    return ApiError(
        500, "generation_failed", "the pictures could not be made: see the server's log"
    )
