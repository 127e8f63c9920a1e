"""What somebody sends who wants to break a server, each with the answer that it must get."""

from __future__ import annotations

import json
import socket
import time
import zlib
from http.client import HTTPConnection
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from PIL import Image

from kandinsky_server.keeping.job_store import JobStore
from kandinsky_server.requests.json_text import read_json_text
from tests.kandinsky_server.conftest import Client, Serve
from tests.kandinsky_server.test_access import code
from tests.kandinsky_server.test_jobs import state, submit, wait_for
from tests.support.fake_engine import FakeEngine

JSON = {"content-type": "application/json"}


def raw(server: Any, content: bytes) -> bytes:
    """Send bytes as they are, and return the answer's first line."""
    where = urlsplit(server.url)
    with socket.create_connection((where.hostname, where.port), timeout=10) as connection:
        connection.sendall(content)
        return connection.recv(65536).split(b"\r\n")[0]


@pytest.mark.parametrize("header", ["Host: [::1", "Host: [zz]:1", "Host: a b", "Host: a/../b"])
def test_hosts_that_are_none(serve: Serve, header: str) -> None:
    request = f"GET /v1/jobs HTTP/1.1\r\n{header}\r\nConnection: close\r\n\r\n".encode()
    assert raw(serve(), request) == b"HTTP/1.1 400 Bad Request"


def test_an_origin_that_is_none(serve: Serve, http: Client) -> None:
    client = http(serve())
    answer = client.get("/v1/jobs", headers={"origin": "http://[::1"})
    assert code(answer) == (400, "invalid_value")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"seed": NaN}', "no number"),
        ('{"seed": 1, "seed": 2}', "seed is given twice"),
        ("[" * 18 + "]" * 18, "nested"),
        ("[" * 9000 + "]" * 9000, "nested"),
        ("[" + "0," * 20_000 + "0]", "more than 20,000 values"),
        ("1" * 5000, "digits"),
    ],
    ids=["nan", "twice", "deep", "deeper", "many", "digits"],
)
def test_json_that_costs_more_than_it_says(text: str, words: str) -> None:
    for content in (text, text.encode()):
        with pytest.raises(ValueError, match=words):
            read_json_text(content)


@pytest.mark.parametrize(
    "content",
    [
        b'{"\\ud800": 1}',
        b'{"prompt": "a", "model": "\\udfff"}',
        b'{"prompt": "a", "size": "000x64"}',
        b'{"prompt": "a", "seed": 1e999}',
        b'{"prompt": "a", "seed": ' + b"9" * 4000 + b"}",
        b'{"prompt": "a", "lora": ' + b"[" * 15 + b"]" * 15 + b"}",
    ],
)
def test_values_that_no_answer_can_repeat(serve: Serve, http: Client, content: bytes) -> None:
    answer = http(serve()).post("/v1/jobs", content=content, headers=JSON)
    assert answer.status_code in (400, 404), answer.text
    assert json.loads(answer.content.decode())["error"]["message"]


def bomb(side: int) -> bytes:
    """A small PNG that declares a large picture; its rows are there."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = zlib.crc32(kind + content).to_bytes(4)
        return len(content).to_bytes(4) + kind + content + check

    head = side.to_bytes(4) * 2 + bytes([1, 0, 0, 0, 0])
    rows = zlib.compress(bytes(((side + 7) // 8 + 1) * side), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("route", "fields", "name"),
    [
        ("edits", {"prompt": "a"}, "image"),
        ("edits", {"task": "upscale"}, "image"),
        ("edits", {"prompt": "a"}, "mask"),
        ("generations", {"prompt": "a"}, "ip_images"),
        ("variations", {}, "image"),
    ],
)
def test_a_small_file_that_declares_a_huge_picture(
    serve: Serve,
    http: Client,
    monkeypatch: pytest.MonkeyPatch,
    route: str,
    fields: dict[str, str],
    name: str,
) -> None:
    """Its size is looked at before a pixel is decoded."""
    client, content = http(serve()), bomb(5000)
    assert len(content) < 5000
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda _: 1 / 0)
    files = {name: content, **({"image": content} if name == "mask" else {})}
    answer = client.post(f"/v1/images/{route}", data=fields, files=files)
    assert code(answer) == (400, "image_undecodable")
    assert "5000 x 5000 pixels" in answer.json()["error"]["message"]


def test_a_client_that_leaves_in_the_middle_of_its_body(
    serve: Serve, http: Client, caplog: Any
) -> None:
    server = serve()
    where = urlsplit(server.url)
    head = b"POST /v1/images/edits HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 900\r\n"
    with socket.create_connection((where.hostname, where.port)) as leaving:
        leaving.sendall(head + b"Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n")
    client = http(server)
    assert client.post("/v1/images/generations", json={"prompt": "a"}).status_code == 200
    assert caplog.records == []


def test_events_after_the_last_one_do_not_wait_for_ever(serve: Serve, http: Client) -> None:
    engine = FakeEngine()
    client = http(serve(engine))
    job = submit(client)
    wait_for(lambda: state(client, job) == "completed")
    path = f"/v1/jobs/{job['id']}/events"
    for after in ("999999999999999", "99"):
        assert client.get(path, headers={"last-event-id": after}).status_code == 204
    for after in (b"\xb2", b"-1", b""):
        assert client.get(path, headers={"last-event-id": after}).status_code == 200
    engine.gate.clear()
    running = submit(client, seed=2)
    with client.stream(
        "GET", f"/v1/jobs/{running['id']}/events", headers={"last-event-id": "99"}
    ) as answer:
        engine.gate.set()  # a number from the future stands for now
        assert "event: end" in "".join(answer.iter_text())


def test_a_form_that_is_sent_again_is_the_same_request(serve: Serve, http: Client) -> None:
    """Its parts have other separators; another route is another request."""
    client, held = http(serve()), BytesIO()
    Image.new("RGB", (8, 8)).save(held, "PNG")
    made = []
    for boundary in ("one", "two"):
        kind = {"content-type": f"multipart/form-data; boundary={boundary}"}
        files = {"image": held.getvalue()}
        answer = client.post(
            "/v1/jobs", data={"prompt": "a"}, files=files, headers={"idempotency-key": "k", **kind}
        )
        made.append(answer.json()["id"])
    assert made[0] == made[1]
    key = {"idempotency-key": "other"}
    assert client.post("/v1/jobs", json={"prompt": "a"}, headers=key).status_code == 202
    reused = client.post("/v1/images/generations", json={"prompt": "a"}, headers=key)
    assert code(reused) == (422, "idempotency_key_reused")
    long = client.post("/v1/jobs", json={"prompt": "a"}, headers={"idempotency-key": "k" * 256})
    assert code(long) == (400, "invalid_value")


def test_two_connections_with_one_key_wait_for_one_picture(serve: Serve, http: Client) -> None:
    """One of them leaves, which stops nothing. When both have left, the key begins anew."""
    engine = FakeEngine()
    server = serve(engine)
    client, key = http(server), {"idempotency-key": "k"}
    engine.gate.clear()

    def ask(timeout: float) -> Any:
        body = {"prompt": "a", "seed": 5}
        return client.post("/v1/images/generations", json=body, headers=key, timeout=timeout)

    with pytest.raises(Exception, match="timed out"):
        ask(0.3)
    wait_for(lambda: not server.service.queue.waiting())
    engine.gate.set()
    assert ask(20).status_code == 200
    engine.gate.clear()
    key["idempotency-key"] = "l"
    staying = HTTPConnection(urlsplit(server.url).netloc, timeout=20)
    content = json.dumps({"prompt": "a", "seed": 5})
    staying.request("POST", "/v1/images/generations", content, {**JSON, **key})
    wait_for(lambda: len(engine.batches) == 3)
    with pytest.raises(Exception, match="timed out"):
        ask(0.3)
    engine.gate.set()
    assert staying.getresponse().status == 200
    staying.close()


def test_bodies_and_waiting_pictures_are_bounded_together(serve: Serve, http: Client) -> None:
    server = serve(max_bodies=50_000, keep_bytes=100)
    client = http(server)
    answer = client.post("/v1/jobs", content=b'{"prompt": "' + b"a" * 60_000, headers=JSON)
    assert code(answer) == (503, "too_many_bytes")
    assert answer.headers["retry-after"] == "2"
    assert client.post("/v1/images/generations", json={"prompt": "a"}).status_code == 200


def test_a_full_disk_costs_new_jobs_and_no_pictures(
    serve: Serve, http: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(state_dir=tmp_path)
    client = http(server)

    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(JobStore, "update", fail)
        full.setattr(JobStore, "remove", fail)
        job = submit(client, seed=3)
        wait_for(lambda: state(client, job) == "completed")
        assert client.get(f"/v1/images/{job['id']}/content").status_code == 200
        assert client.delete(f"/v1/jobs/{job['id']}").status_code == 200
        full.setattr("kandinsky_server.keeping.job_store._write", fail)
        held = BytesIO()
        Image.new("RGB", (8, 8)).save(held, "PNG")
        refused = client.post("/v1/jobs", data={"prompt": "a"}, files={"image": held.getvalue()})
        assert code(refused) == (503, "storage_failed")
        assert "No space left" in refused.json()["error"]["message"]
    again = submit(client, seed=4)
    wait_for(lambda: state(client, again) == "completed")
    assert {one.name for one in (tmp_path / "jobs").iterdir()} == {again["id"]}
    assert "kandinsky_store_failures_total 4.0" in client.get("/metrics").text.splitlines()


def test_a_clock_that_is_put_right_removes_no_job(
    serve: Serve, http: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve()
    client, real = http(server), time.time
    jobs = []
    for step in (0, 1e8, -1e8):
        monkeypatch.setattr("time.time", lambda step=step: real() + step)
        server.service._sweep_after = 0.0
        jobs.append(submit(client))
        wait_for(lambda: state(client, jobs[-1]) == "completed")
    listed = [one["id"] for one in client.get("/v1/jobs").json()["data"]]
    assert listed == [job["id"] for job in reversed(jobs)]


def test_previews_are_not_kept_for_ever(serve: Serve, http: Client) -> None:
    server = serve()
    client = http(server)
    job = submit(client, partial_images=2)
    wait_for(lambda: state(client, job) == "completed")
    assert client.get(f"/v1/jobs/{job['id']}/events").text.count("event: preview") == 2
    server.service.jobs[job["id"]].arrived -= 1000
    server.service._sweep_after = 0.0
    submit(client)
    assert "event: preview" not in client.get(f"/v1/jobs/{job['id']}/events").text


def test_what_goes_wrong_beside_a_picture_ends_no_worker(serve: Serve, http: Client) -> None:
    server = serve()
    client = http(server)
    server.service.metrics.ended = lambda _: 1 / 0  # type: ignore[method-assign,assignment,return-value]
    for _ in range(2):
        assert client.post("/v1/images/generations", json={"prompt": "a"}).status_code == 200
    assert client.get("/healthz").status_code == 200


def test_many_small_files_that_declare_large_pictures(serve: Serve, http: Client) -> None:
    client = http(serve(max_upload_pixels=100_000))
    for side, status in ((300, 400), (100, 200)):
        files = [("ip_images", bomb(side))] * 3
        answer = client.post("/v1/images/generations", data={"prompt": "a"}, files=files)
        assert answer.status_code == status
    answer = client.post(
        "/v1/images/generations", data={"prompt": "a"}, files=[("ip_images", bomb(300))] * 3
    )
    assert answer.json()["error"]["message"].startswith("the pictures have 270,000 pixels together")
