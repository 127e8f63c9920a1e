"""One model on several devices: each device has the weights, and makes pictures of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kandinsky_server.requests.picture_request import PictureRequest
from kandinsky_server.work.engine import Drawn, Engine, Row, Shape, Watch

__all__ = ["Replicas"]


class Replicas:
    """Engines of one model that stand for a single one; `on` gives the engine of a device.

    Args:
        engines: The engines, one for each device.
    """

    def __init__(self, engines: Sequence[Engine]) -> None:
        self._engines = tuple(engines)
        self._first = self._engines[0]

    @property
    def name(self) -> str:
        """See `Engine.name`."""
        return self._first.name

    @property
    def tasks(self) -> Sequence[str]:
        """See `Engine.tasks`."""
        return self._first.tasks

    @property
    def loras(self) -> Sequence[str]:
        """See `Engine.loras`."""
        return self._first.loras

    @property
    def ip_tasks(self) -> Sequence[str]:
        """See `Engine.ip_tasks`."""
        return self._first.ip_tasks

    @property
    def compiles_aside(self) -> bool:
        """See `Engine.compiles_aside`."""
        return self._first.compiles_aside

    def defaults(self, task: str) -> Mapping[str, Any]:
        """See `Engine.defaults`."""
        return self._first.defaults(task)

    def facts(self) -> Mapping[str, Any]:
        """See `Engine.facts`; all devices are named."""
        devices = ", ".join(str(engine.facts()["device"]) for engine in self._engines)
        return {**self._first.facts(), "device": devices}

    def check(self, request: PictureRequest) -> None:
        """See `Engine.check`."""
        self._first.check(request)

    def shape(self, request: PictureRequest) -> Shape:
        """See `Engine.shape`."""
        return self._first.shape(request)

    def compile(self, shape: Shape, rows: int) -> None:
        """See `Engine.compile`; each device has its programs."""
        for engine in self._engines:
            engine.compile(shape, rows)

    def on(self, device: int) -> Engine:
        """See `Engine.on`."""
        return self._engines[device]

    def run(self, rows: Sequence[Row], watch: Watch) -> Sequence[Drawn] | None:
        """See `Engine.run`; the first device does it."""
        return self._first.run(rows, watch)

    def release(self) -> None:
        """See `Engine.release`."""
        for engine in self._engines:
            engine.release()
