"""Figures for Prometheus: how many requests, how long they take, what waits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from kandinsky_core import __version__
from kandinsky_server.requests.picture_request import PictureRequest
from kandinsky_server.work.job import Job

__all__ = ["Metrics"]

_LONG = (
    *(0.05, 0.1, 0.2, 0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60),
    *(120, 240, 480, 960, 1920, 7680),
)
_STEP = tuple(
    base * 10.0**power for power in range(-3, 2) for base in (1, 2.5, 5) if base * 10**power <= 40
)
_COMPILE = (0.1, 0.5, 1, 5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560)
_ROWS = (1, 2, 4, 8, 16, 32)
_OUTCOMES = {"completed": "ok", "cancelled": "cancelled", "failed": "error"}
_CODES = {"deadline_exceeded": "deadline"}


class Metrics:
    """The figures of one server. Names begin with `kandinsky_`; times are seconds."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        count, times, level = self._count, self._times, self._level
        task = ("task",)
        self.requests = count("requests", "Requests by how they ended.", ("task", "outcome"))
        self.images = count("images", "Pictures that were made.", task)
        self.batches = count("batches", "Batches that were run.", task)
        self.compilations = count("compilations", "Shapes that were compiled.")
        self.retries = count("job_retries", "Jobs that a restart began again.")
        self.store_failures = count("store_failures", "Writes of jobs that failed.")
        self.duration = times("request_duration_seconds", "From arrival to the end.", task)
        self.queued = times("request_queue_seconds", "From arrival to the first step.", task)
        self.inference = times("request_inference_seconds", "From then to the end.", task)
        self.steps = times("step_seconds", "One step.", ("part", "size"), _STEP)
        self.rows = times("batch_rows", "Pictures of a batch.", task, _ROWS)
        self.compile_seconds = times("compile_seconds", "Compiling a shape.", (), _COMPILE)
        self.running = level("requests_running", "Requests at work.")
        self.waiting = level("requests_waiting", "Requests that wait.")
        self.limit = level("queue_limit", "Requests that may wait.")
        self.ready = level("ready", "1 where requests are taken.")
        self.jobs = level("jobs", "Jobs that are kept.", ("status",))
        labels = ("version", "backend", "device", "model", "dtype")
        self.build = level("build_info", "Always 1; the labels tell what serves.", labels)

    def _count(self, name: str, about: str, labels: Sequence[str] = ()) -> Counter:
        return Counter(f"kandinsky_{name}", about, labels, registry=self._registry)

    def _times(
        self, name: str, about: str, labels: Sequence[str], buckets: Sequence[float] = _LONG
    ) -> Histogram:
        return Histogram(
            f"kandinsky_{name}", about, labels, registry=self._registry, buckets=buckets
        )

    def _level(self, name: str, about: str, labels: Sequence[str] = ()) -> Gauge:
        return Gauge(f"kandinsky_{name}", about, labels, registry=self._registry)

    def served(self, name: str, facts: Mapping[str, Any]) -> None:
        """Note a served model."""
        own = (facts["backend"], facts["device"], name, facts["dtype"])
        self.build.labels(__version__, *own).set(1)

    def text(self) -> bytes:
        """Return all figures in Prometheus' text form."""
        found: bytes = generate_latest(self._registry)
        return found

    def refused(self, task: str, outcome: str) -> None:
        """Count a request that was not queued: `invalid`, `busy` or `disconnected`."""
        self.requests.labels(task, outcome).inc()

    def began(self, task: str, rows: int) -> None:
        """Count a batch."""
        self.batches.labels(task).inc()
        self.rows.labels(task).observe(rows)

    def stepped(self, part: str, size: str, seconds: float) -> None:
        """Count a step."""
        self.steps.labels(part, size).observe(seconds)

    def ended(self, job: Job) -> None:
        """Count a job that has ended."""
        request: PictureRequest = job.request
        code = "" if job.error is None else job.error.code
        self.requests.labels(request.task, _CODES.get(code, _OUTCOMES[job.state])).inc()
        self.images.labels(request.task).inc(len(job.made))
        ended = job.arrived if job.ended is None else job.ended
        self.duration.labels(request.task).observe(ended - job.arrived)
        if job.begun is not None:
            self.queued.labels(request.task).observe(job.begun - job.arrived)
            self.inference.labels(request.task).observe(ended - job.begun)

    def compiled(self, seconds: float) -> None:
        """Count a shape that was compiled."""
        self.compilations.inc()
        self.compile_seconds.observe(seconds)

    def retried(self, job: Job) -> None:
        """Count a job that is begun again."""
        self.retries.inc()
