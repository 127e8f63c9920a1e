"""How a server is set up: what `kandinsky serve` takes, checked once."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kandinsky_core.errors import InvalidInputError
from kandinsky_core.validation import positive_int

__all__ = ["ServerSettings"]

MIB = 1 << 20
_LAST_PORT = 65535


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """The options of a server.

    Attributes:
        models: Served name -> the model as `from_pretrained` takes it. The first is the default.
        host: Address to listen on.
        port: Port to listen on; 0 takes a free one.
        api_keys: Keys of which a client must give one; empty for none.
        allow_no_auth: Whether other machines may come in without a key.
        origins: Origins of web pages elsewhere that may use the server.
        state_dir: Folder of jobs that outlive the process; None keeps them in memory.
        loading: Arguments of `from_pretrained`: backend, device, dtype, ...
        loras: Served name -> its adapters, each a name and what `load_lora_weights` takes.
        branches: Served name -> the ControlNet of Kandinsky 3 that stands beside its UNet.
        devices: Devices that each hold the models and make pictures of their own; empty for the one
            that `loading` names.
        max_loaded: Models that may be loaded at once; None for no bound but memory.
        warm_shapes: `(task, height, width)` to compile before the server is ready.
        batch_sizes: Numbers of rows that a batch may have.
        cold_shapes: Whether shapes that are not warm are compiled when they are asked for.
        max_cold_shapes: How many of them in a process's life.
        max_queue: Requests that may wait.
        max_queue_seconds: Seconds of work that may wait, as far as it can be told.
        max_n: Pictures of one request.
        max_pixels: Pixels of a picture; None is what the device suggests.
        max_body: Bytes of a request.
        max_bodies: Bytes of all requests that arrive or are read at one time.
        body_timeout: Seconds for a request's body to arrive, and in which a client takes nothing of
            its answer.
        header_timeout: Seconds for a request's headers to arrive.
        max_connections: Connections at once.
        max_upload: Bytes of an uploaded picture.
        max_upload_pixels: Pixels of an uploaded picture.
        request_timeout: Seconds that a request may take where it does not say.
        drain_delay: Seconds in which a server that ends says so and still listens.
        drain_timeout: Seconds for the running batch to end.
        keep_hours: Hours that finished jobs are kept.
        keep_bytes: Bytes of pictures that are kept, and half of them for requests that wait.
        keep_jobs: Finished jobs that are kept.
        ignore_unknown_fields: Whether unknown fields get a warning in place of an error.
        log_prompts: Whether the log holds prompts.
    """

    models: Mapping[str, str] = field(default_factory=lambda: {"shapes": "shapes"})
    host: str = "127.0.0.1"
    port: int = 8000
    api_keys: tuple[str, ...] = field(default=(), repr=False)
    allow_no_auth: bool = False
    origins: tuple[str, ...] = ()
    state_dir: Path | None = None
    loading: Mapping[str, Any] = field(default_factory=dict)
    loras: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    branches: Mapping[str, str] = field(default_factory=dict)
    devices: tuple[str, ...] = ()
    max_loaded: int | None = None
    warm_shapes: tuple[tuple[str, int | None, int | None], ...] = (("text2image", None, None),)
    batch_sizes: tuple[int, ...] = (1,)
    cold_shapes: bool = True
    max_cold_shapes: int = 16
    max_queue: int = 64
    max_queue_seconds: float = 600.0
    max_n: int = 10
    max_pixels: int | None = None
    max_body: int = 64 * MIB
    max_bodies: int = 512 * MIB
    body_timeout: float = 60.0
    header_timeout: float = 10.0
    max_connections: int = 1000
    max_upload: int = 20 * MIB
    max_upload_pixels: int = 16_000_000
    request_timeout: float = 300.0
    drain_delay: float = 5.0
    drain_timeout: float = 60.0
    keep_hours: float = 24.0
    keep_bytes: int = 2048 * MIB
    keep_jobs: int = 10_000
    ignore_unknown_fields: bool = False
    log_prompts: bool = False

    def __post_init__(self) -> None:
        """Refuse settings that contradict each other.

        Raises:
            InvalidInputError: There is no model, or a number is none, or the server would be open
                to other machines without a key.
        """
        if not self.models:
            raise InvalidInputError("--model: name at least one model")
        if not 0 <= self.port <= _LAST_PORT:
            raise InvalidInputError(
                f"--port {self.port}: give a number from 1 to {_LAST_PORT}, or 0 for a free port"
            )
        for size in self.batch_sizes:
            positive_int("--batch-sizes", size)
        if 1 not in self.batch_sizes:
            raise InvalidInputError(
                f"--batch-sizes {','.join(map(str, self.batch_sizes))}: add 1, for single pictures"
            )
        if self.devices and (len({*self.devices}) < len(self.devices) or "" in self.devices):
            raise InvalidInputError(
                f"--devices {','.join(self.devices)}: name each device once, as cuda:0,cuda:1"
            )
        if beside := [name for name in ("device", "mesh") if self.devices and name in self.loading]:
            raise InvalidInputError(f"--devices beside --{beside[0]}: give one of the two")
        for flag, named in (("--lora", self.loras), ("--controlnet", self.branches)):
            if unknown := [name for name in named if name not in self.models]:
                raise InvalidInputError(
                    f"{flag}: {unknown[0]} is not served; served are {', '.join(self.models)}"
                )
        if not (self.loopback or self.api_keys or self.allow_no_auth):
            raise InvalidInputError(
                f"--host {self.host}: other machines reach this address: give --api-key, or "
                "--no-auth to let everybody in"
            )
        if any(not key or not key.isascii() for key in self.api_keys):
            raise InvalidInputError("--api-key: give a key of ASCII characters that is not empty")

    @property
    def loopback(self) -> bool:
        """Whether only this machine reaches the server."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def default_model(self) -> str:
        """The model of requests that name none."""
        return next(iter(self.models))
