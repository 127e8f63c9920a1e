"""What a restart finds on the disk: damaged jobs, older files, times, and models that are gone."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from kandinsky_server.keeping.job_store import JobStore
from kandinsky_server.requests.picture_request import PictureRequest
from kandinsky_server.work.job import Job, Made
from kandinsky_server.work.rates import Rates
from tests.kandinsky_server.conftest import Client, Serve
from tests.kandinsky_server.test_jobs import state, submit, wait_for
from tests.support.fake_engine import FakeEngine

V1 = """
CREATE TABLE jobs (id TEXT PRIMARY KEY, created REAL NOT NULL, state TEXT NOT NULL,
    attempt INTEGER NOT NULL, request TEXT NOT NULL, inputs TEXT NOT NULL, outputs TEXT NOT NULL,
    error TEXT, idempotency TEXT, digest TEXT);
PRAGMA user_version=1;
"""


def job(job_id: str, created: float, model: str = "fake", **more: Any) -> Job:
    options = {"num_inference_steps": 4, "guidance_scale": 4.0}
    shared: dict[str, Any] = {"task": "text2image", "height": 32, "width": 32, "seeds": (1,)}
    request = PictureRequest(**shared, model=model, prompt="a", options=options, **more)
    return Job(request, job_id=job_id, created=created)


def kept(folder: Path, *jobs: Job) -> None:
    store = JobStore(folder)
    for one in jobs:
        store.add(one)
    store.close()


def test_a_damaged_job_keeps_no_other_one_back(tmp_path: Path, caplog: Any) -> None:
    kept(tmp_path, job("b", 1, pictures={"image": (b"png",)}), job("c", 2), job("d", 3))
    (tmp_path / "jobs/b/image-0.png").unlink()
    with sqlite3.connect(tmp_path / "jobs.sqlite3") as database:
        database.execute("UPDATE jobs SET request='{' WHERE id='c'")
    store = JobStore(tmp_path)
    assert [one.id for one in store.load()] == ["d"]
    store.close()
    assert [record.args[0] for record in caplog.records] == ["b", "c"]


def test_times_outlive_a_restart(tmp_path: Path) -> None:
    store, done = JobStore(tmp_path), job("a", 1)
    store.add(done)
    done.change("running")
    done.compile_seconds = 1.5
    done.add(0, Made(b"png", 1, 32, 32))
    done.change("completed")
    store.update(done)
    found = store.load()[0]
    assert found.timings == done.timings
    assert found.timings["compile"] == 1.5
    found.made[0].path.unlink()  # type: ignore[union-attr]
    assert found.made[0].size == 0
    store.close()


def test_the_file_of_an_older_version_is_taken_over(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "jobs.sqlite3") as database:
        database.executescript(V1)
        text = job("a", 1).request.to_json()
        values = ("a", 1.0, "queued", 0, text, "{}", "[]", None, None, None)
        database.execute("INSERT INTO jobs VALUES (?,?,?,?,?,?,?,?,?,?)", values)
    for _ in range(2):
        store = JobStore(tmp_path)
        assert [one.id for one in store.load()] == ["a"]
        store.close()


def test_a_job_of_a_model_that_is_gone_fails_and_others_go_on(
    tmp_path: Path, serve: Serve, http: Client
) -> None:
    kept(tmp_path, job("a", 1, model="gone"), job("b", 2))
    client = http(serve(state_dir=tmp_path))
    wait_for(lambda: state(client, {"id": "b"}) == "completed")
    facts = client.get("/v1/jobs/a").json()
    assert (facts["status"], facts["error"]["code"]) == ("failed", "model_not_found")


def test_a_removed_picture_is_told(tmp_path: Path, serve: Serve, http: Client) -> None:
    client = http(serve(state_dir=tmp_path))
    made = submit(client)
    wait_for(lambda: state(client, made) == "completed")
    (tmp_path / "jobs" / made["id"] / "picture-0").unlink()
    answer = client.get(f"/v1/images/{made['id']}/content")
    assert (answer.status_code, answer.json()["error"]["code"]) == (410, "job_expired")


def test_unknown_tasks_are_as_fast_as_known_ones(serve: Serve) -> None:
    rates, one, other = Rates(), job("a", 1).request, job("b", 1, model="other").request
    assert rates.seconds(one, 1) == 0
    rates.measured(one, 2, 8.0)
    assert rates.seconds(other, 3) == pytest.approx(12)
    rates.measured(other, 1, 1.0)
    assert (rates.seconds(other, 1), rates.seconds(one, 1)) == (1, pytest.approx(4))
    # So the first client that a full queue sends away is told a time.
    assert serve(FakeEngine(0.01)).service.rates.seconds(one, 1) >= 0.04
