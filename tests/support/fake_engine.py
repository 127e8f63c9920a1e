"""A served model without networks: a picture tells its seed by its colour."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image

from kandinsky_core.errors import InvalidInputError
from kandinsky_server.requests.picture_request import PictureRequest
from kandinsky_server.work.engine import Drawn, Row, Shape, Step, Watch

__all__ = ["FakeEngine", "colour_of"]


def colour_of(seed: int) -> tuple[int, int, int]:
    """The colour of a seed's picture."""
    return seed % 251, (seed // 251) % 251, 77


def _preview(image: Image.Image) -> Image.Image:
    """A picture of a size of its own, as previews are."""
    return image.resize((24, 24))


class FakeEngine:
    """Makes one-coloured pictures.

    Attributes:
        batches: The seeds of each batch that was begun.
        compiled: Each shape that was compiled, with its rows.
        gate: Steps wait for it.
        step_seconds: How long a step takes.
        failure: Raised in place of making pictures.
    """

    name = "fake"
    tasks: Sequence[str] = ("text2image", "img2img", "inpaint", "interpolate", "upscale")
    loras: Sequence[str] = ("style", "pixels")
    ip_tasks: Sequence[str] = ("text2image", "img2img")
    compiles_aside = True

    def __init__(self, step_seconds: float = 0.0) -> None:
        self.batches: list[list[int]] = []
        self.compiled: list[tuple[Shape, int]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.compile_gate = threading.Event()
        self.compile_gate.set()
        self.step_seconds = step_seconds
        self.failure: Exception | None = None
        self.released = 0

    def defaults(self, task: str) -> Mapping[str, Any]:
        """See `Engine`."""
        found: dict[str, Any] = {"num_inference_steps": 4, "guidance_scale": 4.0}
        if task in ("img2img", "inpaint"):
            found["strength"] = 0.5
        return found if task == "upscale" else {**found, "height": 32, "width": 32}

    def facts(self) -> Mapping[str, Any]:
        """See `Engine`."""
        facts = {"backend": "fake", "device": "cpu", "dtype": "float32", "ip_scale": 1.0}
        return {**facts, "schedulers": ["ddim"], "upscales": ["4"]}

    def check(self, request: PictureRequest) -> None:
        """See `Engine`."""
        if request.width % 8:
            raise InvalidInputError(f"width={request.width}: give a multiple of 8")

    def shape(self, request: PictureRequest) -> Shape:
        """See `Engine`."""
        guided = request.options["guidance_scale"] > 1
        return Shape(request.task, request.height, request.width, guided, None, request.upscale)

    def compile(self, shape: Shape, rows: int) -> None:
        """See `Engine`."""
        assert self.compile_gate.wait(20)
        self.compiled.append((shape, rows))

    def on(self, device: int) -> FakeEngine:
        """See `Engine`."""
        return self

    def run(self, rows: Sequence[Row], watch: Watch) -> Sequence[Drawn] | None:
        """See `Engine`."""
        request = rows[0].request
        self.batches.append([row.seed for row in rows])
        images = [
            Image.new("RGB", (request.width, request.height), colour_of(row.seed)) for row in rows
        ]
        total = request.options["num_inference_steps"]
        for number in range(1, total + 1):
            assert self.gate.wait(20)
            time.sleep(self.step_seconds)
            if self.failure is not None:
                raise self.failure
            if watch(Step("decoder", number, total, lambda: [_preview(image) for image in images])):
                return None
        return [
            Drawn(image, {"seed": row.seed, "prompt": row.request.prompt})
            for image, row in zip(images, rows, strict=True)
        ]

    def release(self) -> None:
        """See `Engine`."""
        self.released += 1
