"""URLs whose servers mean no good: endless, slow, or leading elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from kandinsky_core import budgets, load_image
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.pictures.fetching import fetch


class _Server(BaseHTTPRequestHandler):
    """The path of a request says how it is answered."""

    def do_GET(self) -> None:
        way, _, rest = self.path[1:].partition("/")
        answer = getattr(self, way)
        try:
            answer(rest)
        except OSError:  # the client has gone
            self.close_connection = True

    def head(self, code: int = 200, **fields: str) -> None:
        self.send_response(code)
        for name, value in fields.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def endless(self, _: str) -> None:
        self.head()
        while True:
            self.wfile.write(b"\0" * 65536)

    def slow_body(self, _: str) -> None:
        self.head(Content_Length="1000")
        for _step in range(100):
            self.wfile.write(b"\0")
            time.sleep(0.02)

    def slow_head(self, _: str) -> None:
        self.wfile.write(b"HTTP/1.0 200 OK\r\n")
        for number in range(100):
            self.wfile.write(b"X-%d: a\r\n" % number)
            time.sleep(0.02)

    def short(self, _: str) -> None:
        self.head(Content_Length="1000")
        self.wfile.write(b"abc")

    def exact(self, rest: str) -> None:
        self.head(Content_Length=rest)
        self.wfile.write(b"a" * int(rest))

    def to(self, rest: str) -> None:
        self.head(302, Location=rest)

    def log_message(self, *_: Any) -> None:
        """Stay silent."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    running = ThreadingHTTPServer(("127.0.0.1", 0), _Server)
    running.daemon_threads = True
    running.block_on_close = False
    thread = threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{running.server_port}"
    running.shutdown()
    running.server_close()
    thread.join()


def test_bytes_are_counted_up_to_the_budget(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budgets, "PICTURE_FILE_BYTES", 100_000)
    assert fetch(f"{server}/exact/100000") == b"a" * 100_000
    assert fetch(f"{server}/to/{server}/exact/3") == b"aaa"
    for way in ("exact/100001", "endless"):
        with pytest.raises(InvalidInputError, match="it delivers more than the 100,000 bytes"):
            load_image(f"{server}/{way}")


@pytest.mark.parametrize("way", ["slow_body", "slow_head"])
def test_the_time_of_a_whole_answer_is_counted(
    server: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budgets, "PICTURE_URL_SECONDS", 0.1)
    start = time.monotonic()
    with pytest.raises(InvalidInputError, match=r"it was not delivered within 0.1 seconds"):
        load_image(f"{server}/{way}")
    assert time.monotonic() - start < 1


def test_a_body_that_breaks_off_is_refused(server: str) -> None:
    with pytest.raises(InvalidInputError, match="IncompleteRead"):
        load_image(f"{server}/short")


@pytest.mark.parametrize("target", ["file:///etc/hostname", "ftp://127.0.0.1:1/a", "data:,a"])
def test_a_redirect_leads_to_nothing_but_http(server: str, target: str) -> None:
    with pytest.raises(InvalidInputError, match=r"cannot be read: (HTTP Error|.*unknown url type)"):
        load_image(f"{server}/to/{target}")


def test_a_redirect_in_a_circle_ends(server: str) -> None:
    with pytest.raises(InvalidInputError, match="cannot be read: HTTP Error 302"):
        load_image(f"{server}/to//to/")


@pytest.mark.parametrize("scheme", ["ftp", "file", "FTP", "s3"])
def test_urls_of_other_schemes_are_refused_by_name(tmp_path: Path, scheme: str) -> None:
    said = f"is a URL of {scheme}: give a path, or a URL that begins with http:// or https://"
    with pytest.raises(InvalidInputError, match=said):
        load_image(f"{scheme}://{tmp_path}/a.png")
