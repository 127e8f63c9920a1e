"""Figures for Prometheus: how many requests, how long they take, what waits."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

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
        own: dict[str, Any] = {"registry": CollectorRegistry()}
        self._registry = own["registry"]
        self.requests = Counter(
            "kandinsky_requests", "Requests by how they ended.", ["task", "outcome"], **own
        )
        self.duration = Histogram(
            "kandinsky_request_duration_seconds",
            "From arrival to the end.",
            ["task"],
            buckets=_LONG,
            **own,
        )
        self.queued = Histogram(
            "kandinsky_request_queue_seconds",
            "From arrival to the first step.",
            ["task"],
            buckets=_LONG,
            **own,
        )
        self.inference = Histogram(
            "kandinsky_request_inference_seconds",
            "From the first step to the end.",
            ["task"],
            buckets=_LONG,
            **own,
        )
        self.steps = Histogram(
            "kandinsky_step_seconds", "One step.", ["part", "size"], buckets=_STEP, **own
        )
        self.images = Counter("kandinsky_images", "Pictures that were made.", ["task"], **own)
        self.batches = Counter("kandinsky_batches", "Batches that were run.", ["task"], **own)
        self.rows = Histogram(
            "kandinsky_batch_rows", "Pictures of a batch.", ["task"], buckets=_ROWS, **own
        )
        self.compilations = Counter("kandinsky_compilations", "Shapes that were compiled.", **own)
        self.compile_seconds = Histogram(
            "kandinsky_compile_seconds", "Compiling a shape.", buckets=_COMPILE, **own
        )
        self.retries = Counter("kandinsky_job_retries", "Jobs that a restart began again.", **own)
        self.running = Gauge("kandinsky_requests_running", "Requests at work.", **own)
        self.waiting = Gauge("kandinsky_requests_waiting", "Requests that wait.", **own)
        self.limit = Gauge("kandinsky_queue_limit", "Requests that may wait.", **own)
        self.ready = Gauge("kandinsky_ready", "1 where requests are taken.", **own)
        self.memory = Gauge(
            "kandinsky_device_memory_bytes", "The device's memory.", ["kind"], **own
        )
        self.build = Gauge(
            "kandinsky_build_info",
            "Always 1; the labels tell what serves.",
            ["version", "backend", "device", "model", "dtype"],
            **own,
        )

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
