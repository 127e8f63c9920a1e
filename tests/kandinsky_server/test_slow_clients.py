"""Clients that send or take one byte now and then, and more connections than there may be."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from tests.kandinsky_server.conftest import Client, Serve
from tests.support.fake_engine import FakeEngine

HEAD = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n"
PATIENCE = {"header_timeout": 0.4, "body_timeout": 0.4}


@contextmanager
def connected(server: Any) -> Iterator[socket.socket]:
    host, _, port = server.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=10) as found:
        yield found


def rest(connection: socket.socket) -> bytes:
    """All that comes until the server ends the connection."""
    content = b""
    try:
        while part := connection.recv(65536):
            content += part
    except ConnectionResetError:
        pass
    return content


def asked(connection: socket.socket) -> bytes:
    """The whole answer of the probe."""
    connection.sendall(HEAD + b"\r\n")
    answer = b""
    while not answer.endswith(b"}"):
        part = connection.recv(65536)
        assert part, answer
        answer += part
    return answer


def drip(connection: socket.socket, content: bytes) -> float:
    """Send a byte now and then until the server ends the connection; return the seconds."""
    begun = time.monotonic()
    try:
        for byte in content:
            connection.sendall(bytes([byte]))
            time.sleep(0.05)
            assert time.monotonic() - begun < 10, "the server waits for ever"
    except (BrokenPipeError, ConnectionResetError):
        pass
    return time.monotonic() - begun


def test_slow_headers_are_ended(serve: Serve, http: Client) -> None:
    server = serve(**PATIENCE)
    with connected(server) as slow, connected(server) as silent, connected(server) as second:
        assert asked(second).startswith(b"HTTP/1.1 200")
        assert drip(slow, HEAD + b"X: " + b"a" * 1000) < 5
        answer = rest(slow)
        assert answer.startswith(b"HTTP/1.1 408")
        found = json.loads(answer.partition(b"\r\n\r\n")[2])
        assert found["error"]["code"] == "header_timeout"
        assert rest(silent).startswith(b"HTTP/1.1 408")
        # A kept connection has no more patience than a new one.
        assert drip(second, HEAD + b"X: " + b"a" * 1000) < 5
        assert http(server).get("/healthz").status_code == 200


@pytest.mark.parametrize("path", [b"GET /healthz", b"POST /v1/jobs", b"POST /nowhere"])
def test_slow_bodies_are_ended_whether_they_are_read_or_not(serve: Serve, path: bytes) -> None:
    head = path + b" HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5000\r\n\r\n"
    with connected(serve(**PATIENCE)) as slow:
        slow.sendall(head)
        assert drip(slow, b"a" * 1000) < 5
        status = {b"GET /healthz": b"200", b"POST /v1/jobs": b"408", b"POST /nowhere": b"404"}
        assert rest(slow).startswith(b"HTTP/1.1 " + status[path])


def test_a_client_that_takes_nothing_of_its_answer_is_ended(serve: Serve) -> None:
    request = b"GET /static/style.css HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    with connected(serve(**PATIENCE)) as taking:
        taking.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        taking.sendall(request * 5_000)  # the answers are more than all buffers hold
        # More requests would be taken for ever, were the connection not ended.
        assert drip(taking, request * 100) < 10


def test_a_slow_answer_is_no_slow_client(serve: Serve, http: Client) -> None:
    client = http(serve(FakeEngine(step_seconds=0.15), **PATIENCE))
    assert client.post("/v1/images/generations", json={"prompt": "a"}).status_code == 200


def test_more_connections_than_there_may_be(serve: Serve, http: Client) -> None:
    server = serve(max_connections=3)
    with ExitStack() as stack:
        held = [stack.enter_context(connected(server)) for _ in range(3)]
        for one in held:
            assert asked(one).startswith(b"HTTP/1.1 200")
        with connected(server) as more:
            answer = rest(more)
        assert answer.startswith(b"HTTP/1.1 503")
        assert b"Retry-After: 5" in answer
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"]
        assert asked(held[0]).startswith(b"HTTP/1.1 200")  # the others are served as before
    end = time.monotonic() + 5
    while True:  # until the server has seen that they are gone
        try:
            assert http(server).get("/healthz").status_code == 200
            return
        except AssertionError:
            assert time.monotonic() < end
