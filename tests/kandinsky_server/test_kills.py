"""A process that is killed at any moment loses no job, and one that is asked to end cuts none."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.support.fake_engine import colour_of
from tests.support.fake_server import start_server


@contextmanager
def running(folder: Path, step_seconds: float) -> Iterator[tuple[Any, httpx.Client]]:
    """A server in a process of its own, and a client."""
    process, url = start_server(folder, step_seconds)
    try:
        with httpx.Client(base_url=url, timeout=30) as client:
            while client.get("/readyz").status_code != 200:
                time.sleep(0.02)
            yield process, client
    finally:
        process.kill()
        process.join()


@pytest.mark.slow(seconds=30)
def test_killed_at_random_moments(tmp_path: Path) -> None:
    """Every job whose id was answered is completed once, with the pictures of its seeds."""
    moments, seeds = random.Random(0), iter(range(10_000))
    acknowledged: dict[str, list[int]] = {}
    for _ in range(20):
        with running(tmp_path / "state", 0.01) as (process, client):
            timer = threading.Timer(moments.uniform(0, 0.2), process.kill)
            wanted = len(acknowledged) + moments.randint(1, 4)
            try:
                while True:
                    mine = [next(seeds), next(seeds)]
                    answer = client.post("/v1/jobs", json={"prompt": "a", "seed": mine})
                    if answer.status_code == 202:
                        acknowledged[answer.json()["id"]] = mine
                    if len(acknowledged) == wanted:
                        timer.start()  # by jobs, as a busy machine may do none in a second
                    time.sleep(moments.uniform(0, 0.05))
            except httpx.TransportError:
                pass
            timer.join()
    with running(tmp_path / "state", 0) as (_, client):
        for job_id, mine in acknowledged.items():
            while (facts := client.get(f"/v1/jobs/{job_id}").json())["status"] != "completed":
                assert facts["status"] in ("queued", "running", "compiling"), facts
                time.sleep(0.02)
            assert [image["seed"] for image in facts["images"]] == mine
            for image in facts["images"]:
                path = image["url"][image["url"].index("/v1/") :]
                picture = Image.open(BytesIO(client.get(path).content))
                assert picture.getpixel((0, 0)) == colour_of(image["seed"])
        listed = client.get("/v1/jobs", params={"limit": 500}).json()["data"]
        assert {one["id"] for one in listed} >= set(acknowledged)
    assert len(acknowledged) >= 20


@pytest.mark.slow(seconds=5)
def test_asked_to_end_under_load(tmp_path: Path) -> None:
    """No request is cut: each gets its picture, or is told that the server ends."""
    codes: list[int] = []
    cut: list[httpx.TransportError] = []
    closed: list[str | None] = []
    with running(tmp_path / "state", 0.02) as (process, client):

        def ask() -> None:
            while True:
                try:
                    answer = client.post("/v1/images/generations", json={"prompt": "a"})
                except (httpx.ConnectError, httpx.ReadError, httpx.WriteError):
                    return  # it does not listen any more: the kernel refuses or resets
                except httpx.TransportError as error:
                    cut.append(error)
                    return
                codes.append(answer.status_code)
                if answer.status_code == 503:
                    closed.append(answer.headers.get("connection"))

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(0.5)
        os.kill(process.pid, signal.SIGTERM)
        for thread in threads:
            thread.join()
        process.join(20)
        assert process.exitcode == 0
    assert cut == []
    assert set(codes) == {200, 503}
    assert set(closed) == {"close"}, "a kept connection would be cut below its next request"
