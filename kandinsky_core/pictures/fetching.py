"""Fetches a picture from a URL, within a budget of bytes and of time."""

from __future__ import annotations

import re
from http.client import IncompleteRead
from threading import Event, Thread
from typing import Any

from kandinsky_core import budgets

__all__ = ["fetch", "is_url", "other_scheme"]

_TIMEOUT = 30.0  # seconds without an answer
_BLOCK = 2**16  # bytes


def is_url(source: str) -> bool:
    """Return whether a picture's source is a URL that `fetch` takes; else it is a path."""
    return source.startswith(("http://", "https://"))


def other_scheme(source: str) -> str | None:
    """Return the scheme of a URL that `fetch` does not take (`ftp`); None for all else."""
    found = re.match(r"([A-Za-z][A-Za-z0-9+.-]+)://", source)
    return None if found is None or is_url(source) else found[1]


def fetch(url: str) -> bytes:
    """Return what a URL of HTTP delivers; it may redirect to such URLs only.

    A server may send its answer byte by byte, so time is counted over all of it. Nothing ends a
    thread that waits for a name or for the head of an answer. So the work is done in a thread of
    its own, which is left to itself when the time is over.

    Raises:
        OSError: The URL cannot be reached, or it delivers too much or too late.
        ValueError, HTTPException: The URL or the answer is malformed.
    """
    found: dict[str, Any] = {}
    gone = Event()

    def work() -> None:
        try:
            found["content"] = _body(url, gone)
        except BaseException as error:  # noqa: BLE001 - raised below, in the caller's thread
            found["error"] = error

    worker = Thread(target=work, name="picture from a URL", daemon=True)
    worker.start()
    try:
        worker.join(budgets.PICTURE_URL_SECONDS)
    finally:
        gone.set()
    if "error" in found:
        raise found.pop("error")  # left there, it would keep its sockets in a circle of references
    if "content" not in found:
        raise TimeoutError(f"it was not delivered within {budgets.PICTURE_URL_SECONDS:g} seconds")
    content: bytes = found["content"]
    return content


def _body(url: str, gone: Event) -> bytes:
    from urllib.request import Request

    # some servers refuse Python's own name
    request = Request(url, headers={"User-Agent": "kandinsky-anywhere"})
    limit, content = budgets.PICTURE_FILE_BYTES, bytearray()
    with _opener().open(request, timeout=_TIMEOUT) as answer:
        # `read1` returns what has arrived, where `read` would wait for a whole block
        while not gone.is_set() and (block := answer.read1(_BLOCK)):
            content += block
            if len(content) > limit:
                raise OSError(f"it delivers more than the {limit:,} bytes that are read")
        if answer.length:  # what the head promised beyond that
            raise IncompleteRead(bytes(content), answer.length)
    return bytes(content)


def _opener() -> Any:
    """Return an opener of URLs that knows HTTP only, so that no redirect leads to a file or FTP."""
    from urllib import request

    opener = request.OpenerDirector()
    for handler in (
        request.ProxyHandler,
        request.UnknownHandler,
        request.HTTPHandler,
        request.HTTPSHandler,
        request.HTTPDefaultErrorHandler,
        request.HTTPRedirectHandler,
        request.HTTPErrorProcessor,
    ):
        opener.add_handler(handler())
    return opener
