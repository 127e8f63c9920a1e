"""What a server does apart from HTTP: it takes requests, has pictures made, and keeps jobs."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from kandinsky_core.errors import KandinskyError
from kandinsky_server.build_request import build_request, find_model
from kandinsky_server.keeping.safe_store import SafeStore
from kandinsky_server.metrics import Metrics
from kandinsky_server.request_log import log_request
from kandinsky_server.requests.api_errors import ApiError
from kandinsky_server.requests.fields import Given
from kandinsky_server.requests.picture_request import PictureRequest
from kandinsky_server.settings import ServerSettings
from kandinsky_server.work.engine import Drawn, Engine, Row, Shape, Step, Watch
from kandinsky_server.work.job import Job
from kandinsky_server.work.job_queue import Batch, JobQueue
from kandinsky_server.work.model_pool import ModelPool
from kandinsky_server.work.rates import Rates
from kandinsky_server.work.shapes import WarmShapes
from kandinsky_server.work.worker import Worker, as_api_error

__all__ = ["Service"]

logger = logging.getLogger("kandinsky_server")

_ALIVE = 60.0
"""Seconds after which a worker that does nothing is taken for dead."""
_SWEEP_EVERY = 10.0
"""Seconds from one look for jobs to remove to the next."""
_PREVIEWS_KEPT = 600.0
"""Seconds for which previews are kept for a client that comes back."""
_REMEMBERED = 100_000
"""Ids of removed jobs, which are answered with 410 in place of 404."""


class Service:
    """The server's state and its workers, one for each device.

    Args:
        settings: The settings.
        make_engines: Loads the served models; it runs in the worker's start, so that the server
            answers probes meanwhile.
    """

    def __init__(
        self,
        settings: ServerSettings,
        make_engines: Callable[[ServerSettings], Mapping[str, Engine]],
    ) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.engines: Mapping[str, Engine] = {}
        self.jobs: dict[str, Job] = {}
        self.draining = False
        self.problem: str | None = None
        self.started = time.time()
        self._make_engines = make_engines
        self._store = SafeStore(settings.state_dir, self.metrics.store_failures.inc)
        self._lock = threading.Lock()
        self._sweep_after = 0.0
        self._expired: dict[str, None] = {}
        self._idempotent: dict[str, Job] = {}
        self.rates = Rates()
        self.queue = JobQueue(
            settings.max_queue,
            settings.max_queue_seconds,
            self.seconds_of,
            settings.batch_sizes,
            settings.keep_bytes // 2,
        )
        self.shapes = WarmShapes(settings, self.queue, self.metrics, self.finished)
        self.pool = ModelPool({}, settings.max_loaded)
        count = len(settings.devices) or 1
        self.workers = [
            Worker(self.queue, partial(self._run, device), self.rates, self, alone=count == 1)
            for device in range(count)
        ]
        self._starting = threading.Thread(target=self._start, name="kandinsky-start", daemon=True)

    def start(self) -> None:
        """Load, warm up, and begin to work, in threads of their own."""
        self._starting.start()

    def _start(self) -> None:
        try:
            self.engines = self._make_engines(self.settings)
            self.pool = ModelPool(self.engines, self.settings.max_loaded)
            for name, engine in self.engines.items():
                self.metrics.served(name, engine.facts())
            self.shapes.warm_up(self.engines, self.rates)
            self._resume()
        except Exception as error:
            self.problem = as_api_error(error).message
            if not isinstance(error, KandinskyError):  # whose text says all
                logger.error("the server cannot start", exc_info=error)
            return
        for worker in self.workers:
            worker.start()

    def wait_until_started(self) -> None:
        """Wait until all is warm, or `problem` says why it cannot be."""
        self._starting.join()

    def _resume(self) -> None:
        """Take up the jobs that an earlier process left, before new ones are taken.

        One that cannot be done any more fails, and does not keep the others waiting.
        """
        for job in self._store.load():
            self.jobs[job.id] = job
            if job.idempotency is not None:
                self._idempotent[job.idempotency[0]] = job
            if job.finished:
                continue
            self.metrics.retried(job)
            try:
                find_model(self.engines, job.request.model)
                self._enqueue(job, force=True)
            except Exception as error:
                logger.error("the job %s cannot go on", job.id, exc_info=error)
                job.change("failed", as_api_error(error), self.finished)

    @property
    def ready(self) -> bool:
        """Whether it takes requests: all is warm, it does not end, and the device works."""
        usable = any(worker.is_alive() and not worker.broken for worker in self.workers)
        return usable and not self.draining

    @property
    def alive(self) -> bool:
        """Whether its workers do something, or may yet begin."""
        if self.problem is not None:
            return False
        if not all(worker.is_alive() for worker in self.workers):
            return self._starting.is_alive() or self.draining
        return self.shapes.compiling or all(
            time.monotonic() - worker.heartbeat < max(_ALIVE, 10 * worker.slowest)
            for worker in self.workers
        )

    @property
    def compiling(self) -> bool:
        """Whether a thread is within a compiler, or loads."""
        return self._starting.is_alive() or self.shapes.compiling

    def require_ready(self) -> None:
        """Refuse a request while none can be taken.

        Raises:
            ApiError: The server starts or ends (503).
        """
        if self.draining:
            raise ApiError(503, "shutting_down", "the server is ending", retry_after=5)
        if not self.ready:
            raise ApiError(503, "not_ready", "the server is starting: try again", retry_after=5)

    def request(self, given: Given, pictures: Mapping[str, Sequence[bytes]]) -> PictureRequest:
        """Check what a client gave, as far as that needs no network.

        Raises:
            ApiError: It cannot be done.
        """
        request = build_request(given, pictures, self.engines, self.settings)
        try:
            self._engine(request.model).check(request)
        except Exception as error:
            raise as_api_error(error) from error
        return request

    def submit(
        self,
        request: PictureRequest,
        *,
        owned: bool,
        idempotency: tuple[str, str] | None = None,
        request_id: str | None = None,
    ) -> Job:
        """Queue a request; a job that nobody waits for is on the disk when this returns.

        Args:
            request: The request.
            owned: Whether a connection waits for it.
            idempotency: The client's key for it, and a digest of its body.
            request_id: The id of the HTTP request.

        Raises:
            ApiError: The queue is full, or the key belongs to another body.
        """
        self.require_ready()
        with self._lock:
            before = None if idempotency is None else self._idempotent.get(idempotency[0])
            if before is not None and idempotency is not None:
                _require_same(before, idempotency[1])
                if not _left(before):
                    before.waiting += owned
                    return before
            job = Job(request, owned=owned, request_id=request_id)
            job.idempotency = idempotency
            job.waiting = int(owned)
            held = self.shapes.is_cold(self._engine(request.model), request)
            self.queue.require_room()
            self._store.add(job)
            self._enqueue(job, held=held)
            self.jobs[job.id] = job
            if idempotency is not None:
                self._idempotent[idempotency[0]] = job
        self.sweep()
        return job

    def _enqueue(self, job: Job, *, held: bool | None = None, force: bool = False) -> None:
        engine = self._engine(job.request.model)
        held = self.shapes.is_cold(engine, job.request) if held is None else held
        self.queue.put(job, held=held, force=force)
        if held:
            self.shapes.compile_for(engine, job)

    def job(self, job_id: str) -> Job:
        """Return a job.

        Raises:
            ApiError: There is none of this id (404), or no longer (410).
        """
        found = self.jobs.get(job_id)
        if found is not None:
            return found
        if job_id in self._expired:
            raise ApiError(
                410, "job_expired", "this job was removed, by a client or as its time was over"
            )
        raise ApiError(404, "job_not_found", "there is no job of this id")

    def cancel(self, job_id: str) -> Job:
        """Stop a job, before it begins or between two of its steps.

        Raises:
            ApiError: There is no such job, or it has finished (409).
        """
        job = self.job(job_id)
        if job.finished:
            raise ApiError(409, "job_finished", f"this job is {job.state} already")
        job.cancel()
        self.queue.wake()
        return job

    def delete(self, job_id: str) -> None:
        """Remove a finished job and its pictures; one that has not finished is cancelled.

        Raises:
            ApiError: There is no such job.
        """
        job = self.job(job_id)
        if job.finished:
            self._remove(job)
        else:
            self.cancel(job_id)

    def seconds_of(self, job: Job) -> float:
        """Return about how many seconds a job still takes; 0 where nothing is known."""
        return self.rates.seconds(job.request, job.rows - len(job.made))

    def answered(self, job: Job) -> None:
        """Note that a connection waits no longer for a request.

        What nobody waits for is stopped, and is forgotten unless it can be asked for again.
        """
        with self._lock:
            job.waiting -= 1
            if job.waiting > 0:
                return
        if not job.finished:
            job.cancel()
            self.queue.wake()
        job.answered = job.request.response_format != "url" and job.idempotency is None
        if job.answered and job.finished:
            self.jobs.pop(job.id, None)

    def sweep(self) -> None:
        """Remove finished jobs that are too old, and the oldest ones beyond the bytes kept."""
        if time.monotonic() < self._sweep_after:
            return
        self._sweep_after = time.monotonic() + _SWEEP_EVERY
        finished = [job for job in list(self.jobs.values()) if job.finished]
        total, count = sum(job.kept_bytes for job in finished), len(finished)
        for job in sorted(finished, key=lambda one: -one.age):
            too_much = total > self.settings.keep_bytes or count > self.settings.keep_jobs
            if job.age > self.settings.keep_hours * 3600 or too_much:
                total -= job.kept_bytes
                count -= 1
                self._remove(job)
            elif job.age > _PREVIEWS_KEPT:
                job.drop_previews()

    def _remove(self, job: Job) -> None:
        self.jobs.pop(job.id, None)
        if job.idempotency is not None and self._idempotent.get(job.idempotency[0]) is job:
            del self._idempotent[job.idempotency[0]]
        self._expired[job.id] = None
        while len(self._expired) > _REMEMBERED:
            self._expired.pop(next(iter(self._expired)))
        self._store.remove(job)

    def _engine(self, name: str) -> Engine:
        return self.engines[name]

    def _run(self, device: int, rows: Sequence[Row], watch: Watch) -> Sequence[Drawn] | None:
        return self.pool.run(rows, watch, device)

    def began(self, batch: Batch) -> None:
        """See `Listener.began`."""
        self.metrics.began(batch.rows[0][0].request.task, len(batch.rows))
        for job in batch.jobs:
            self._store.update(job)

    def stepped(self, batch: Batch, step: Step, seconds: float) -> None:
        """See `Listener.stepped`."""
        shape = self._shape(batch)
        self.metrics.stepped(step.part, self.shapes.label(shape), seconds)

    def finished(self, job: Job) -> None:
        """See `Listener.finished`."""
        self._store.update(job)
        self.metrics.ended(job)
        log_request(job, prompts=self.settings.log_prompts)
        if job.answered:
            self.jobs.pop(job.id, None)

    def _shape(self, batch: Batch) -> Shape:
        request = batch.rows[0][0].request
        return self._engine(request.model).shape(request)

    def facts(self) -> dict[str, Any]:
        """Return what probes tell while the server starts."""
        if self.problem is not None:
            return {"status": "failed", "problem": self.problem}
        if self.draining:
            return {"status": "draining"}
        if self.ready:
            return {"status": "ready"}
        return {"status": "warming" if self.engines else "loading", **self.shapes.progress}

    def drain(self, *, at_once: bool = False) -> None:
        """Take nothing more, and let the running batch end; jobs that wait are kept."""
        self.draining = True
        self.queue.close()
        for worker in self.workers:
            worker.end(at_once=at_once)
        until = time.monotonic() + self.settings.drain_timeout
        for worker in self.workers:
            if worker.is_alive():
                worker.join(max(0.0, until - time.monotonic()))
        for worker in self.workers:
            if worker.is_alive():
                worker.end(at_once=True)
                worker.join()
        for job in list(self.jobs.values()):
            if job.owned and not job.finished:
                job.change("failed", ApiError(503, "shutting_down", "the server is ending"))
        self.shapes.end()
        self._store.close()


def _left(job: Job) -> bool:
    """Tell whether a request ended as its connection did, so that it may begin anew."""
    return job.owned and (job.cancelled or (job.error is not None and job.error.status == 503))


def _require_same(before: Job, digest: str) -> None:
    """Refuse another body with the key of a request that was sent before.

    Raises:
        ApiError: It is another one (422).
    """
    if before.idempotency is not None and before.idempotency[1] != digest:
        raise ApiError(
            422,
            "idempotency_key_reused",
            "this Idempotency-Key belongs to another request: take another key",
        )
