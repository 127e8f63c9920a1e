"""Which shapes are compiled: those of the start, and those that requests ask for later.

A cold shape is compiled in a thread of its own while warm requests go on, where the backend allows
it. Its jobs wait meanwhile.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from kandinsky_server.metrics import Metrics
from kandinsky_server.requests.api_errors import ApiError
from kandinsky_server.requests.picture_request import PictureRequest
from kandinsky_server.settings import ServerSettings
from kandinsky_server.work.engine import Engine, Row, Shape, Step
from kandinsky_server.work.job import Job
from kandinsky_server.work.job_queue import JobQueue
from kandinsky_server.work.rates import Rates
from kandinsky_server.work.worker import as_api_error

__all__ = ["WarmShapes"]

logger = logging.getLogger("kandinsky_server")

_FEW_STEPS = 4


class WarmShapes:
    """The shapes that are compiled, and the thread that compiles others.

    Args:
        settings: The settings.
        jobs: The queue whose jobs wait for their shape.
        metrics: Told of each compilation.
        finished: Told of a job whose shape cannot be compiled.
    """

    def __init__(
        self,
        settings: ServerSettings,
        jobs: JobQueue,
        metrics: Metrics,
        finished: Callable[[Job], None],
    ) -> None:
        self._settings = settings
        self._jobs = jobs
        self._metrics = metrics
        self._finished = finished
        self._warm: set[tuple[str, Shape]] = set()
        self._waiting: dict[tuple[str, Shape], list[Job]] = {}
        self._cold_made = 0
        self._lock = threading.Lock()
        self._todo: queue.SimpleQueue[tuple[Engine, Shape] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self.compiling = False
        self.progress = {"done": 0, "total": len(settings.warm_shapes) * len(settings.models)}

    @property
    def warm(self) -> list[tuple[str, Shape]]:
        """The compiled shapes, each with its model."""
        with self._lock:
            return sorted(self._warm, key=str)

    def label(self, shape: Shape) -> str:
        """Return the size for metrics; sizes that are not warm have one name together."""
        with self._lock:
            known = {one.size for _, one in self._warm}
        return shape.size if shape.size in known else "other"

    def warm_up(self, engines: Mapping[str, Engine], rates: Rates) -> None:
        """Compile the shapes of the start, and make one picture to see that each device works.

        Args:
            engines: The served models.
            rates: Told how long the picture took.

        Raises:
            KandinskyError: A shape cannot be compiled, or the picture is not finite.
        """
        first: tuple[Engine, PictureRequest] | None = None
        for engine in engines.values():
            for task, height, width in self._settings.warm_shapes:
                if task in engine.tasks:
                    request = _sample(engine, task, height, width)
                    self._compile(engine, engine.shape(request))
                    if task == "text2image" and first is None:
                        first = engine, request
                self.progress["done"] += 1
        if first is not None:
            engine, request = first
            for device in range(len(self._settings.devices) or 1):
                looking = _Looking()
                begun = time.monotonic()
                engine.on(device).run([Row(request, 0)], looking)
                rates.measured(request, 1, time.monotonic() - begun - looking.seconds)

    def is_cold(self, engine: Engine, request: PictureRequest) -> bool:
        """Return whether a request waits until its shape is compiled.

        Raises:
            ApiError: No more shapes are compiled (400).
        """
        key = engine.name, engine.shape(request)
        with self._lock:
            if key in self._warm:
                return False
            allowed = self._settings.cold_shapes and (
                key in self._waiting or self._cold_made < self._settings.max_cold_shapes
            )
            sizes = sorted({one.size for _, one in self._warm})
        if not allowed:
            raise ApiError(
                400,
                "shape_not_available",
                f"no program is compiled for {request.task} at {key[1].size} with these settings, "
                f"and no more are made; sizes that are ready: {', '.join(sizes) or 'none'}",
                param="size",
            )
        return engine.compiles_aside

    def compile_for(self, engine: Engine, job: Job) -> None:
        """Compile a held job's shape, then let the job run."""
        key = engine.name, engine.shape(job.request)
        job.change("compiling")
        with self._lock:
            waiting = self._waiting.setdefault(key, [])
            waiting.append(job)
            if len(waiting) > 1:
                return
            self._cold_made += 1
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="kandinsky-compile", daemon=True
                )
                self._thread.start()
        self._todo.put((engine, key[1]))

    def end(self) -> None:
        """Begin no more compilations."""
        self._todo.put(None)

    def _run(self) -> None:
        while (found := self._todo.get()) is not None:
            engine, shape = found
            problem = None
            try:
                seconds = self._compile(engine, shape)
            except Exception as error:  # the job that asked for it is told
                logger.error("a shape cannot be compiled", exc_info=error)
                problem, seconds = as_api_error(error), 0.0
            with self._lock:
                jobs = self._waiting.pop((engine.name, shape), [])
            for job in jobs:
                job.compile_seconds = seconds
                if problem is not None:
                    job.change("failed", problem, self._finished)
                elif not job.finished:
                    job.change("queued")
                self._jobs.release(job)

    def _compile(self, engine: Engine, shape: Shape) -> float:
        begun = time.monotonic()
        self.compiling = True
        try:
            for rows in self._settings.batch_sizes:
                engine.compile(shape, rows)
        finally:
            self.compiling = False
        seconds = time.monotonic() - begun
        with self._lock:
            self._warm.add((engine.name, shape))
        self._metrics.compiled(seconds)
        return seconds


class _Looking:
    """Makes one preview, as the first one of an autoencoder takes longest.

    Attributes:
        seconds: How long that took.
    """

    seconds = 0.0

    def __call__(self, step: Step) -> bool:
        if step.previews is not None and step.number == step.total:
            begun = time.monotonic()
            step.previews()
            self.seconds = time.monotonic() - begun
        return False


def _sample(engine: Engine, task: str, height: int | None, width: int | None) -> PictureRequest:
    """Return a request with all defaults, of which only the shape counts."""
    defaults: dict[str, Any] = dict(engine.defaults(task))
    own = defaults.pop("height", 64), defaults.pop("width", 64)
    options = {name: value for name, value in defaults.items() if value is not None}
    for name in ("num_inference_steps", "prior_num_inference_steps"):
        if name in options:  # all steps have one program, and nobody looks at this picture
            options[name] = min(options[name], _FEW_STEPS)
    return PictureRequest(
        task=task,
        model=engine.name,
        height=height or own[0],
        width=width or own[1],
        seeds=(0,),
        prompt="a red circle",
        options=options,
        upscale=4 if task == "upscale" else None,
        partial_images=1,
    )
