"""What a worker drives: something that makes pictures of a request, step by step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from kandinsky_server.requests.picture_request import PictureRequest

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["Drawn", "Engine", "Row", "Shape", "Step", "Watch"]


@dataclass(frozen=True, slots=True)
class Row:
    """One picture of a batch.

    Attributes:
        request: The request that it belongs to; all rows of a batch have equal batch keys.
        seed: Its seed.
    """

    request: PictureRequest
    seed: int


@dataclass(frozen=True, slots=True)
class Drawn:
    """A finished picture of a row.

    Attributes:
        image: The picture.
        metadata: What makes it again.
    """

    image: Image.Image
    metadata: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Step:
    """A step that is done.

    Attributes:
        part: `prior` or `decoder`.
        number: Counts the steps of all parts, from 1.
        total: Steps of all parts.
        previews: Makes a small picture of each row as it is now; None in the prior.
    """

    part: str
    number: int
    total: int
    previews: Callable[[], Sequence[Image.Image]] | None = None


# Told of each step; returns whether to stop.
Watch = Callable[[Step], bool]


@dataclass(frozen=True, slots=True)
class Shape:
    """What programs are compiled for.

    Attributes:
        task: The task.
        height: Pixels.
        width: Pixels.
        guided: Whether the decoder is guided.
        prior_guided: Whether the prior is guided; None where there is none.
        upscale: Enlarged so many times; None where pictures keep their size.
        pictured: Whether there are pictures beside the prompt; None where none can be.
    """

    task: str
    height: int
    width: int
    guided: bool
    prior_guided: bool | None
    upscale: int | None = None
    pictured: bool | None = None

    @property
    def size(self) -> str:
        """`WIDTHxHEIGHT`, as metrics and capabilities name it."""
        return f"{self.width}x{self.height}"


class Engine(Protocol):
    """A served model.

    One thread runs it at a time. `compile` may run beside it, in another thread, where
    `compiles_aside` says so.
    """

    @property
    def name(self) -> str:
        """The name that clients give."""

    @property
    def tasks(self) -> Sequence[str]:
        """What it does."""

    @property
    def loras(self) -> Sequence[str]:
        """Names of its adapters, which requests give scales."""

    @property
    def ip_tasks(self) -> Sequence[str]:
        """Tasks that take pictures beside the prompt."""

    @property
    def compiles_aside(self) -> bool:
        """Whether it compiles while another thread runs it."""

    def defaults(self, task: str) -> Mapping[str, Any]:
        """Return the arguments of a task's call with their defaults; size included."""

    def facts(self) -> Mapping[str, Any]:
        """Return what capabilities tell of it: backend, device, dtype, schedulers."""

    def check(self, request: PictureRequest) -> None:
        """Refuse a request that the model cannot do, as far as a model that is loaded can tell.

        Raises:
            KandinskyError: It says why.
        """

    def shape(self, request: PictureRequest) -> Shape:
        """Return what a request needs to be compiled."""

    def compile(self, shape: Shape, rows: int) -> None:
        """Compile all programs of a shape for so many rows; no picture is made."""

    def on(self, device: int) -> Engine:
        """Return what makes pictures on a device, by its number among the server's devices."""

    def run(self, rows: Sequence[Row], watch: Watch) -> Sequence[Drawn] | None:
        """Make a picture of each row; None where it was stopped.

        Raises:
            KandinskyError: The pictures cannot be made.
        """

    def release(self) -> None:
        """Drop the weights, so that another model has room. `run` loads them again."""
