"""A live server on a free port, with a model that has no networks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

pytest.importorskip("fastapi")

from kandinsky_server.server import KandinskyServer
from kandinsky_server.settings import ServerSettings
from tests.support.fake_engine import FakeEngine

Serve = Callable[..., KandinskyServer]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start servers; a test's servers end with it."""
    with ExitStack() as stack:

        def start(engine: FakeEngine | None = None, **settings: Any) -> KandinskyServer:
            made = engine or FakeEngine()
            given = {"port": 0, "models": {"fake": "fake"}, "drain_delay": 0.0, **settings}
            server = KandinskyServer(ServerSettings(**given), lambda _: {"fake": made})
            return stack.enter_context(server)

        yield start
