"""Starts and ends a server: by the command line, or within a Python process."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Self

import uvicorn

from kandinsky_core.errors import InvalidInputError, KandinskyError
from kandinsky_server.service import Service
from kandinsky_server.settings import ServerSettings
from kandinsky_server.web.app import make_app
from kandinsky_server.web.patient_protocol import Patience, patient_protocol
from kandinsky_server.work.engine import Engine
from kandinsky_server.work.replicas import Replicas

__all__ = ["KandinskyServer", "load_engines"]

logger = logging.getLogger("kandinsky_server")

_BACKLOG = 2048
_LAST_REQUESTS = 0.3  # seconds for the requests of connections that were taken last


def load_engines(settings: ServerSettings) -> Mapping[str, Engine]:
    """Open the served models; their weights are read when they are warmed up.

    Raises:
        KandinskyError: There is no such model, or the backend is not there.
    """
    from kandinsky_core.seam.registry import chosen_backend
    from kandinsky_server.work.pipeline_engine import PipelineEngine

    loading = dict(settings.loading)
    given = (loading.pop("backend", None), loading.pop("mesh", None), loading.get("device"))
    loading["backend"] = backend = chosen_backend(*given)
    if settings.devices and backend.name != "jax":
        raise InvalidInputError(
            f"--devices: one process of {backend.name} drives one device: start a server for each"
        )

    def made(name: str, **device: str) -> Engine:
        adapters = settings.loras.get(name), settings.branches.get(name)
        return PipelineEngine(name, settings.models[name], {**loading, **device}, *adapters)

    if not settings.devices:
        return {name: made(name) for name in settings.models}
    return {
        name: Replicas([made(name, device=device) for device in settings.devices])
        for name in settings.models
    }


class KandinskyServer:
    """A server in this process, for notebooks, tests and the command line.

        with KandinskyServer(ServerSettings(port=0)) as server:
            client = openai.OpenAI(base_url=server.url + "/v1", api_key="none")

    Args:
        settings: The settings; a plain server of `shapes` if none are given.
        make_engines: Loads the models.

    Raises:
        InvalidInputError: The address is taken, or the state's folder cannot be used.
    """

    def __init__(
        self,
        settings: ServerSettings | None = None,
        make_engines: Callable[[ServerSettings], Mapping[str, Engine]] = load_engines,
    ) -> None:
        self.settings = settings or ServerSettings()
        self._socket = _bound(self.settings.host, self.settings.port)
        try:
            self.service = Service(self.settings, make_engines)
        except KandinskyError:
            self._socket.close()
            raise
        config = uvicorn.Config(
            make_app(self.service),
            http=patient_protocol(_patience(self.settings)),
            ws="none",
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=10,
            server_header=False,
        )
        self._server = _Server(config)
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """The server's address."""
        host, port = self._socket.getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._serve, name="kandinsky-http", daemon=True)
        self._thread.start()
        self.service.start()
        self.wait_until_ready()
        return self

    def __exit__(self, *error: object) -> None:
        self.service.drain(at_once=True)
        self._server.should_exit = True
        if self._thread is not None:
            self._thread.join()

    def wait_until_ready(self, timeout: float | None = None) -> None:
        """Wait until requests are taken.

        Raises:
            KandinskyError: The models cannot be served, or it takes longer than `timeout` seconds.
        """
        begun = time.monotonic()
        while not self.service.ready:
            if self.service.problem is not None:
                self.service.drain(at_once=True)
                self._server.should_exit = True
                raise KandinskyError(self.service.problem)
            if timeout is not None and time.monotonic() - begun > timeout:
                raise KandinskyError(f"the server is not ready after {timeout:g} s")
            time.sleep(0.02)

    def _serve(self) -> None:
        asyncio.run(self._server.serve([self._socket]))

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT; a second signal ends at once.

        A server that ends says so while it still listens, so that a load balancer sees it.

        Raises:
            KandinskyError: The models cannot be served.
        """
        drained = threading.Event()

        def end(number: int, frame: FrameType | None) -> None:
            if drained.is_set():
                raise SystemExit(128 + number)
            drained.set()
            threading.Thread(target=self._end, name="kandinsky-drain", daemon=True).start()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, end)
        self.service.start()
        threading.Thread(target=self._end_if_broken, name="kandinsky-watch", daemon=True).start()
        self._serve()
        if self.service.problem is not None:
            raise KandinskyError(self.service.problem)
        if self.service.compiling:
            # A compiler cannot be stopped, and Python's end would tear its thread out of C++ code,
            # which aborts the process. Nothing is left to be done.
            logging.shutdown()
            os._exit(0)

    def _end_if_broken(self) -> None:
        self.service.wait_until_started()
        if self.service.problem is not None:
            self.service.drain(at_once=True)
            self._server.should_exit = True

    def _end(self) -> None:
        self.service.draining = True
        time.sleep(self.settings.drain_delay)
        self.service.drain()
        self._server.should_exit = True


def _patience(settings: ServerSettings) -> Patience:
    # A route that reads a body refuses a slow one by itself, and says so.
    body = settings.body_timeout + settings.header_timeout
    return Patience(
        head=settings.header_timeout,
        body=body,
        taking=settings.body_timeout,
        connections=settings.max_connections,
    )


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((host, port))
        found.listen(_BACKLOG)  # whoever is told the address may connect at once
    except OSError as error:
        found.close()
        raise InvalidInputError(
            f"--host {host} --port {port}: {error.strerror}: choose another port, or 0 for a free "
            "one"
        ) from error
    return found


class _Server(uvicorn.Server):
    """Ends without cutting a request.

    Signals are ours, as uvicorn stops listening before a load balancer knows that it ends. And
    uvicorn closes a connection that was just taken, whose request it has not read.
    """

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for listening in (*self.servers, *(sockets or ())):
            listening.close()
        await asyncio.sleep(_LAST_REQUESTS)
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
