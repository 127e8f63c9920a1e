"""Jobs: batching, order, cancelling, deadlines, events, and what a restart finds."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from kandinsky_core.errors import InvalidInputError
from kandinsky_server.server import KandinskyServer
from kandinsky_server.settings import ServerSettings
from tests.kandinsky_server.conftest import Client, Serve
from tests.support.fake_engine import FakeEngine, colour_of


def wait_for(found: Callable[[], Any]) -> None:
    end = time.monotonic() + 20
    while not found():
        assert time.monotonic() < end
        time.sleep(0.01)


def submit(client: Any, **body: Any) -> dict[str, Any]:
    answer = client.post("/v1/jobs", json={"prompt": "a", **body})
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == f"/v1/jobs/{answer.json()['id']}"
    return dict(answer.json())


def state(client: Any, job: dict[str, Any]) -> str:
    return str(client.get(f"/v1/jobs/{job['id']}").json()["status"])


def test_requests_of_one_kind_share_a_batch_of_a_compiled_size(serve: Serve, http: Client) -> None:
    """The oldest goes first; what has other steps waits for its own batch."""
    engine = FakeEngine()
    client = http(serve(engine, batch_sizes=(1, 2, 4)))
    engine.gate.clear()
    jobs = [submit(client, seed=0)]
    wait_for(lambda: engine.batches)
    jobs += [submit(client, seed=seed, steps=steps) for seed, steps in ((1, 4), (2, 9), (3, 4))]
    jobs += [submit(client, seed=[4, 5, 6])]
    assert [state(client, job) for job in jobs] == ["running"] + ["queued"] * 4
    engine.gate.set()
    wait_for(lambda: {state(client, job) for job in jobs} == {"completed"})
    assert engine.batches == [[0], [1, 3, 4, 5], [2], [6]]
    for job in jobs:
        facts = client.get(f"/v1/jobs/{job['id']}").json()
        for image in facts["images"]:
            picture = Image.open(BytesIO(client.get(image["url"]).content))
            assert picture.getpixel((0, 0)) == colour_of(image["seed"])


def test_a_running_job_is_cancelled_between_steps_and_its_neighbour_goes_on(
    serve: Serve, http: Client
) -> None:
    engine = FakeEngine()
    client = http(serve(engine, batch_sizes=(1, 2)))
    engine.gate.clear()
    first = submit(client, seed=0)
    wait_for(lambda: engine.batches)
    second, third, fourth = (submit(client, seed=seed) for seed in (1, 2, 3))
    assert client.post(f"/v1/jobs/{fourth['id']}/cancel").status_code == 200
    wait_for(lambda: state(client, fourth) in ("cancelled", "queued"))
    client.post(f"/v1/jobs/{first['id']}/cancel")
    engine.gate.set()
    wait_for(lambda: state(client, first) == "cancelled")
    wait_for(lambda: state(client, third) == "completed")
    assert state(client, second) == "completed"
    assert state(client, fourth) == "cancelled"
    assert engine.batches == [[0], [1, 2]]
    answer = client.post(f"/v1/jobs/{first['id']}/cancel")
    assert (answer.status_code, answer.headers["x-should-retry"]) == (409, "false")


def test_a_client_that_leaves_stops_its_request_and_no_job(serve: Serve, http: Client) -> None:
    engine = FakeEngine()
    server = serve(engine)
    client = http(server)
    engine.gate.clear()
    with pytest.raises(Exception, match="timed out"):
        client.post("/v1/images/generations", json={"prompt": "a", "seed": 8}, timeout=0.5)
    job = submit(client, seed=9)
    engine.gate.set()
    wait_for(lambda: state(client, job) == "completed")
    assert engine.batches == [[8], [9]]
    # Nobody can ask for the first one again, so it is not kept.
    assert [one.state for one in server.service.jobs.values()] == ["completed"]


def test_a_deadline_ends_a_request_that_waits_and_one_that_runs(serve: Serve, http: Client) -> None:
    client = http(serve(FakeEngine(step_seconds=0.4)))
    answer = client.post("/v1/images/generations", json={"prompt": "a", "timeout": 1, "steps": 50})
    assert answer.status_code == 504
    assert answer.json()["error"]["code"] == "deadline_exceeded"
    assert answer.headers["x-should-retry"] == "false"


def test_events_go_on_where_a_stream_broke_off(serve: Serve, http: Client) -> None:
    client = http(serve())
    job = submit(client, seed=3, partial_images=1)
    wait_for(lambda: state(client, job) == "completed")

    def follow(after: str) -> list[tuple[int, str, Any]]:
        answer = client.get(f"/v1/jobs/{job['id']}/events", headers={"last-event-id": after})
        found = []
        for block in answer.text.strip().split("\n\n"):
            number, kind, data = (line.partition(": ")[2] for line in block.split("\n"))
            found.append((int(number), kind, json.loads(data)))
        return found

    events = follow("0")
    kinds = [kind for _, kind, _ in events]
    assert kinds[-1] == "end"
    assert kinds.count("preview") == kinds.count("picture") == 1
    assert events[-1][2]["images"][0]["seed"] == 3
    assert follow(str(events[1][0])) == events[2:]


def test_a_key_that_comes_again_gives_the_same_job(serve: Serve, http: Client) -> None:
    client = http(serve())
    key = {"idempotency-key": "k1"}
    first = client.post("/v1/jobs", json={"prompt": "a"}, headers=key).json()
    again = client.post("/v1/jobs", json={"prompt": "a"}, headers=key).json()
    assert again["id"] == first["id"]
    other = client.post("/v1/jobs", json={"prompt": "b"}, headers=key)
    assert (other.status_code, other.json()["error"]["code"]) == (422, "idempotency_key_reused")


def test_a_cold_shape_compiles_beside_running_work(serve: Serve, http: Client) -> None:
    engine = FakeEngine()
    client = http(serve(engine))
    engine.compile_gate.clear()
    cold = submit(client, size="64x64")
    warm = submit(client)
    wait_for(lambda: state(client, warm) == "completed")
    assert state(client, cold) == "compiling"
    engine.compile_gate.set()
    wait_for(lambda: state(client, cold) == "completed")
    assert [shape.size for shape, _ in engine.compiled] == ["64x64"]
    assert client.get("/v1/capabilities").json()["warm_shapes"][1]["size"] == "64x64"


def test_cold_shapes_can_be_refused(serve: Serve, http: Client) -> None:
    client = http(serve(cold_shapes=False))
    answer = client.post("/v1/jobs", json={"prompt": "a", "size": "64x64"})
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "shape_not_available"
    assert "32x32" in answer.json()["error"]["message"]


def test_a_restart_goes_on_with_what_was_acknowledged(tmp_path: Path, http: Client) -> None:
    """The process is not ended well: nothing is drained, and the store is left as it is."""
    engine = FakeEngine()
    settings = ServerSettings(
        port=0, models={"fake": "fake"}, drain_delay=0.0, state_dir=tmp_path / "state"
    )
    lost = KandinskyServer(settings, lambda _: {"fake": engine})
    with lost:
        client = http(lost)
        done = submit(client, seed=1)
        wait_for(lambda: state(client, done) == "completed")
        content = client.get(f"/v1/images/{done['id']}/content").content
        engine.gate.clear()
        running, waiting = submit(client, seed=2), submit(client, seed=[3, 4])
        wait_for(lambda: len(engine.batches) == 3)
        with pytest.raises(InvalidInputError, match="another server has this folder"):
            KandinskyServer(settings, lambda _: {"fake": engine})
        lost.service._store._store.close()  # type: ignore[union-attr]
        lost.service._store._store = None
        threading.Timer(0.2, engine.gate.set).start()
    again = FakeEngine()
    with KandinskyServer(settings, lambda _: {"fake": again}) as server:
        client = http(server)
        wait_for(lambda: state(client, waiting) == "completed")
        assert client.get(f"/v1/images/{done['id']}/content").content == content
        assert client.get(f"/v1/jobs/{running['id']}").json()["attempt"] == 1
        assert again.batches[1:] == [[2], [3], [4]]
        assert client.delete(f"/v1/jobs/{done['id']}").json()["deleted"]
        assert client.get(f"/v1/jobs/{done['id']}").status_code == 410
        assert client.get("/v1/jobs/job_none").status_code == 404
        assert not (tmp_path / "state" / "jobs" / done["id"]).exists()
        assert [one["id"] for one in client.get("/v1/jobs").json()["data"]] == [
            waiting["id"],
            running["id"],
        ]


def test_old_jobs_make_room(serve: Serve, http: Client) -> None:
    server = serve(keep_bytes=1)
    client = http(server)
    first = submit(client)
    wait_for(lambda: state(client, first) == "completed")
    server.service._sweep_after = 0.0
    second = submit(client)
    assert client.get(f"/v1/jobs/{first['id']}").status_code == 410
    wait_for(lambda: state(client, second) == "completed")


def test_a_shape_that_cannot_be_compiled_fails_its_job(serve: Serve, http: Client) -> None:
    engine = FakeEngine()
    client = http(serve(engine))
    engine.compile = lambda *_: 1 / 0  # type: ignore[method-assign,assignment,return-value]
    job = submit(client, size="64x64")
    wait_for(lambda: state(client, job) == "failed")
    line = 'kandinsky_requests_total{outcome="error",task="text2image"} 1.0'
    assert line in client.get("/metrics").text.splitlines()
