"""Who gets in: keys, other origins, foreign hosts, and bodies beyond their bounds."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from kandinsky_core.errors import InvalidInputError
from kandinsky_server.settings import ServerSettings
from tests.kandinsky_server.conftest import Client, Serve

BODY = {"prompt": "a"}


def code(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def test_everything_but_the_probes_needs_the_key(serve: Serve, http: Client) -> None:
    client = http(serve(api_keys=("one", "two")))
    for path in ("/healthz", "/readyz"):
        assert client.get(path).status_code == 200
    guarded = ["/metrics", "/version", "/v1/models", "/v1/capabilities", "/v1/jobs"]
    for path in [*guarded, "/openapi.json", "/nowhere"]:
        assert code(client.get(path)) == (401, "invalid_api_key")
    for header in ("Bearer none", "Bearer", "Basic two", "two", "Bearer two\u00e9".encode()):
        answer = client.get("/v1/models", headers={"authorization": header})
        assert code(answer) == (401, "invalid_api_key")
    right = {"authorization": "bearer two"}
    assert client.get("/v1/models", headers=right).status_code == 200


def test_pages_of_other_sites_are_kept_out(serve: Serve, http: Client) -> None:
    server = serve(origins=("https://friend.example",))
    client = http(server)
    own = {"origin": server.url}
    assert client.post("/v1/jobs", json=BODY, headers=own).status_code == 202
    foreign = {"origin": "https://evil.example"}
    assert code(client.post("/v1/jobs", json=BODY, headers=foreign)) == (403, "origin_not_allowed")
    # A name that an attacker's server resolves to this machine.
    rebound = {"host": "evil.example", "origin": "http://evil.example"}
    assert code(client.post("/v1/jobs", json=BODY, headers=rebound)) == (403, "origin_not_allowed")
    friend = {"origin": "https://friend.example"}
    answer = client.options("/v1/jobs", headers=friend)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (
        204,
        "https://friend.example",
    )
    assert "access-control-allow-origin" not in client.get("/v1/models").headers


@pytest.mark.parametrize("port", [-1, 65536, 99999])
def test_a_port_is_a_number_of_sixteen_bits(port: int) -> None:
    with pytest.raises(InvalidInputError, match=f"--port {port}: give a number from 1 to 65535"):
        ServerSettings(port=port)


def test_other_machines_need_a_key() -> None:
    with pytest.raises(InvalidInputError, match="--api-key, or --no-auth"):
        ServerSettings(host="0.0.0.0")
    assert ServerSettings(host="0.0.0.0", api_keys=("k",)).api_keys == ("k",)
    assert "secret" not in repr(ServerSettings(api_keys=("secret",)))


def test_bodies_are_counted_while_they_are_read(serve: Serve, http: Client) -> None:
    client = http(serve(max_body=10_000))
    large = b'{"prompt": "' + b"a" * 20_000
    assert code(client.post("/v1/jobs", content=large)) == (413, "body_too_large")

    def parts() -> Any:  # without a length
        for _ in range(50):
            yield b"a" * 1000

    assert code(client.post("/v1/jobs", content=parts())) == (413, "body_too_large")


def test_a_slow_body_keeps_nobody_else_waiting(serve: Serve, http: Client) -> None:
    server = serve(body_timeout=0.5)
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as slow:
        slow.sendall(b"POST /v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99\r\n\r\n{")
        assert http(server).post("/v1/images/generations", json=BODY).status_code == 200
        assert slow.recv(100).startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"", "application/json", 400),
        (b"[]", "application/json", 400),
        (b'{"prompt": NaN}', "application/json", 400),
        (b'{"a":' * 5000, "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b"a=b", "application/x-www-form-urlencoded", 415),
        (b"--x\r\n", "multipart/form-data", 400),
        (b"--x\r\n", "multipart/form-data; boundary=x", 400),
        (
            b"--x\r\nContent-Disposition: form-data\r\n\r\na\r\n--x--",
            "multipart/form-data; boundary=x",
            400,
        ),
    ],
)
def test_bodies_that_are_none(
    serve: Serve, http: Client, content: bytes, kind: str, status: int
) -> None:
    client = http(serve())
    answer = client.post("/v1/images/edits", content=content, headers={"content-type": kind})
    assert answer.status_code == status
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


def test_unknown_routes_and_request_ids(serve: Serve, http: Client) -> None:
    client = http(serve())
    for path in ("/v1/nothing", "/static/../settings.py", "/static/%2e%2e/settings.py"):
        assert code(client.get(path)) == (404, "not_found")
    assert code(client.get("/v1/images/generations")) == (405, "method_not_allowed")
    given = client.get("/v1/models", headers={"x-request-id": "mine-1"})
    assert given.headers["x-request-id"] == "mine-1"
    bad = client.get("/v1/models", headers={"x-request-id": "a b"})
    assert bad.headers["x-request-id"].startswith("req_")
    assert "default-src 'self'" in bad.headers["content-security-policy"]
