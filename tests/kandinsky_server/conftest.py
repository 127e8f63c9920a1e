"""A live server on a free port, with a model that has no networks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from kandinsky_server.server import KandinskyServer
from kandinsky_server.settings import ServerSettings
from tests.support.fake_engine import FakeEngine

Serve = Callable[..., KandinskyServer]
Client = Callable[[KandinskyServer], Any]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start servers; a test's servers end with it."""
    with ExitStack() as stack:

        def start(engine: FakeEngine | None = None, **settings: Any) -> KandinskyServer:
            made = engine or FakeEngine()
            given = {"port": 0, "models": {"fake": "fake"}, "drain_delay": 0.0, **settings}
            (made.name,) = given["models"]
            server = KandinskyServer(ServerSettings(**given), lambda _: {made.name: made})
            stack.enter_context(server)
            made.batches.clear()  # the one of the start
            made.compiled.clear()
            return server

        yield start


@pytest.fixture
def http() -> Iterator[Client]:
    """Plain HTTP clients; a test's clients end with it."""
    with ExitStack() as stack:

        def start(server: KandinskyServer) -> Any:
            return stack.enter_context(httpx.Client(base_url=server.url, timeout=30))

        yield start
