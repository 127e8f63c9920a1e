"""A server without networks in a process of its own, which tests kill."""

from __future__ import annotations

import multiprocessing
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from kandinsky_server.server import KandinskyServer
from kandinsky_server.settings import ServerSettings
from tests.support.fake_engine import FakeEngine

__all__ = ["start_server"]

# Its children begin with everything imported, which a new interpreter takes a second for.
_SPAWN = multiprocessing.get_context("forkserver")
_SPAWN.set_forkserver_preload([__name__])


def start_server(folder: Path, step_seconds: float) -> tuple[BaseProcess, str]:
    """Start a server; return its process and its address.

    Args:
        folder: Where it keeps its jobs.
        step_seconds: How long a step takes.
    """
    here, there = _SPAWN.Pipe(duplex=False)
    process = _SPAWN.Process(target=_serve, args=(folder, step_seconds, there))
    process.start()
    there.close()
    with here:
        return process, here.recv()


def _serve(folder: Path, step_seconds: float, told: Connection) -> None:
    settings = ServerSettings(
        port=0, models={"fake": "fake"}, state_dir=folder, drain_delay=1.0, batch_sizes=(1, 2)
    )
    server = KandinskyServer(settings, lambda _: {"fake": FakeEngine(step_seconds)})
    told.send(server.url)
    told.close()
    server.run()
