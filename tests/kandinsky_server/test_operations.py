"""Probes, metrics, the log, and how a server begins and ends."""

from __future__ import annotations

import json
import logging
import threading
import time
from typing import Any

import httpx
import pytest

from kandinsky_core.errors import InvalidInputError, KandinskyError
from kandinsky_server.server import KandinskyServer
from kandinsky_server.settings import ServerSettings
from tests.kandinsky_server.conftest import Client, Serve
from tests.support.fake_engine import FakeEngine

SETTINGS = ServerSettings(port=0, models={"fake": "fake"}, drain_delay=0.5)


def test_a_server_is_alive_while_it_warms_up_and_ready_after_it(http: Client) -> None:
    engine = FakeEngine()
    engine.compile_gate.clear()
    server = KandinskyServer(SETTINGS, lambda _: {"fake": engine})
    seen: list[Any] = []

    def look() -> None:
        client = http(server)
        while not seen or seen[-1][0] != 200:
            answer = client.get("/readyz")
            seen.append((answer.status_code, answer.json()))
            assert client.get("/healthz").status_code == 200
            refused = client.post("/v1/jobs", json={"prompt": "a"})
            assert refused.status_code in (202, 503)
            engine.compile_gate.set()

    looking = threading.Thread(target=look)
    looking.start()
    with server:
        looking.join()
    assert (503, {"status": "warming", "done": 0, "total": 1}) in seen
    assert seen[-1] == (200, {"status": "ready"})


def test_a_process_whose_model_cannot_be_loaded_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(settings: ServerSettings) -> dict[str, Any]:
        raise InvalidInputError("there is no such model")

    monkeypatch.setattr("kandinsky_server.server.signal.signal", lambda *_: None)
    with pytest.raises(KandinskyError, match="no such model"):
        KandinskyServer(SETTINGS, fail).run()


def test_a_model_that_cannot_be_loaded_is_told() -> None:
    def fail(settings: ServerSettings) -> Any:
        raise InvalidInputError("there is no such model")

    with (
        pytest.raises(KandinskyError, match="no such model"),
        KandinskyServer(SETTINGS, fail),
    ):
        pass


def test_metrics_count_by_task_and_outcome(serve: Serve, http: Client) -> None:
    client = http(serve())
    for body in ({"prompt": "a", "n": 2}, {"prompt": "a", "size": "33x8"}):
        client.post("/v1/images/generations", json=body)
    text = client.get("/metrics").text
    for line in (
        'kandinsky_requests_total{outcome="ok",task="text2image"} 1.0',
        'kandinsky_requests_total{outcome="invalid",task="unknown"} 1.0',
        'kandinsky_images_total{task="text2image"} 2.0',
        'kandinsky_batches_total{task="text2image"} 2.0',
        'kandinsky_step_seconds_count{part="decoder",size="32x32"} 8.0',
        "kandinsky_requests_waiting 0.0",
        "kandinsky_queue_limit 64.0",
        "kandinsky_ready 1.0",
    ):
        assert line in text.splitlines(), line


def test_the_log_has_no_prompts(serve: Serve, http: Client, caplog: Any) -> None:
    with caplog.at_level(logging.INFO, "kandinsky_server.requests"):
        for prompts in (False, True):
            client = http(serve(log_prompts=prompts))
            client.post(
                "/v1/images/generations",
                json={"prompt": "secret", "seed": 4},
                headers={"x-request-id": "mine"},
            )
    first, second = (json.loads(record.message) for record in caplog.records)
    assert first["request_id"] == "mine"
    assert (first["outcome"], first["seeds"], first["size"]) == ("completed", [4], "32x32")
    assert "secret" not in json.dumps(first)
    assert second["prompt"] == "secret"


def test_a_server_that_ends_says_so_while_it_listens(http: Client) -> None:
    """The running request is finished, the waiting one is told, and new ones are refused."""
    engine = FakeEngine()
    server = KandinskyServer(SETTINGS, lambda _: {"fake": engine})
    answers: dict[int, httpx.Response] = {}
    with server:
        client = http(server)

        def ask(seed: int) -> None:
            answers[seed] = client.post(
                "/v1/images/generations", json={"prompt": "a", "seed": seed}
            )

        engine.batches.clear()
        engine.gate.clear()
        threads = [threading.Thread(target=ask, args=(seed,)) for seed in (1, 2)]
        threads[0].start()
        while not engine.batches:
            time.sleep(0.01)
        threads[1].start()
        while not len(server.service.queue):
            time.sleep(0.01)
        ending = threading.Thread(target=server._end)
        ending.start()
        while not server.service.draining:
            time.sleep(0.01)
        assert client.get("/readyz").status_code == 503
        refused = client.post("/v1/jobs", json={"prompt": "a"})
        assert refused.json()["error"]["code"] == "shutting_down"
        engine.gate.set()
        for thread in (*threads, ending):
            thread.join()
    assert answers[1].status_code == 200
    assert answers[2].status_code in (200, 503)


def test_a_server_that_is_ended_while_it_compiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends with 0, and does not tear the compiler's thread away."""
    engine, codes = FakeEngine(), list[int]()
    engine.compile_gate.clear()
    monkeypatch.setattr("kandinsky_server.server.signal.signal", lambda *_: None)
    monkeypatch.setattr("kandinsky_server.server.logging.shutdown", lambda: None)
    monkeypatch.setattr("kandinsky_server.server.os._exit", codes.append)
    server = KandinskyServer(SETTINGS, lambda _: {"fake": engine})
    running = threading.Thread(target=server.run)
    running.start()
    while not server.service.shapes.compiling:
        time.sleep(0.01)
    server._end()
    running.join()
    engine.compile_gate.set()
    assert codes == [0]


def test_a_taken_address_is_told(serve: Serve) -> None:
    port = int(serve().url.rpartition(":")[2])
    with pytest.raises(InvalidInputError, match="choose another port"):
        KandinskyServer(ServerSettings(port=port))
