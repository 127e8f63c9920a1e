"""Several devices: each has a worker, and one that is broken keeps the others from nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from kandinsky_core.errors import InvalidInputError, KandinskyError
from kandinsky_server.server import KandinskyServer, load_engines
from kandinsky_server.settings import ServerSettings
from kandinsky_server.work.replicas import Replicas
from tests.kandinsky_server.test_jobs import state, submit, wait_for
from tests.support.fake_engine import FakeEngine

DEVICES = ("cpu:0", "cpu:1")


@pytest.fixture
def two() -> Iterator[tuple[list[FakeEngine], Any]]:
    """Two engines that have begun nothing, and a client of a server that has both."""
    engines = [FakeEngine(), FakeEngine()]
    settings = ServerSettings(port=0, models={"fake": "fake"}, devices=DEVICES, drain_delay=0.0)
    with ExitStack() as stack:
        server = stack.enter_context(
            KandinskyServer(settings, lambda _: {"fake": Replicas(engines)})
        )
        assert [len(engine.batches) for engine in engines] == [1, 1]  # each showed that it works
        assert [len(engine.compiled) for engine in engines] == [1, 1]
        for engine in engines:
            engine.batches.clear()
        yield engines, stack.enter_context(httpx.Client(base_url=server.url, timeout=30))


def test_two_devices_work_at_the_same_time(two: Any) -> None:
    engines, client = two
    for engine in engines:
        engine.gate.clear()
    job = submit(client, seed=[1, 2])
    wait_for(lambda: all(engine.batches for engine in engines))
    later = submit(client, seed=3)
    assert [state(client, one) for one in (job, later)] == ["running", "queued"]
    for engine in engines:
        engine.gate.set()
    wait_for(lambda: state(client, later) == "completed")
    facts = client.get(f"/v1/jobs/{job['id']}").json()
    assert [image["seed"] for image in facts["images"]] == [1, 2]
    assert sorted(seed for engine in engines for [seed] in engine.batches) == [1, 2, 3]


def test_a_broken_device_leaves_the_work_to_the_others(two: Any) -> None:
    engines, client = two
    engines[0].failure = RuntimeError("the device is lost")
    states = []
    for seed in range(100):
        job = submit(client, seed=seed)
        wait_for(lambda job=job: state(client, job) in ("completed", "failed"))  # type: ignore[misc]
        states.append(state(client, job))
        if states.count("failed") == 3 and states[-10:] == ["completed"] * 10:
            break
    assert states.count("failed") == 3  # then it rests
    assert client.get("/readyz").status_code == 200


def test_devices_that_cannot_be() -> None:
    for devices in (("cpu:0", "cpu:0"), ("",)):
        with pytest.raises(InvalidInputError, match="name each device once"):
            ServerSettings(devices=devices)
    with pytest.raises(InvalidInputError, match="give one of the two"):
        ServerSettings(devices=DEVICES, loading={"mesh": "data=2"})
    with pytest.raises(KandinskyError):
        load_engines(ServerSettings(devices=DEVICES, loading={"backend": "none"}))
