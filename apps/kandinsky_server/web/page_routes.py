"""The page for people, whose files are part of the package."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files

from fastapi import APIRouter, Request
from starlette.responses import Response

from kandinsky_server.requests.api_errors import ApiError
from kandinsky_server.service import Service

__all__ = ["page_routes"]

_MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class _File:
    content: bytes
    media_type: str
    etag: str


def page_routes(_: Service) -> APIRouter:
    """Return the routes of the page.

    The files are read once, and a name is looked up among them. So no path leads out of the folder.
    """
    routes = APIRouter()
    found = _read()

    @routes.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
    async def page(request: Request) -> Response:
        """Return the page."""
        return _answer(found["index.html"], request)

    @routes.api_route("/favicon.ico", methods=["GET", "HEAD"], include_in_schema=False)
    async def icon(request: Request) -> Response:
        """Return the icon, for browsers that ask for it by this name."""
        return _answer(found["icon.svg"], request)

    @routes.api_route("/static/{name:path}", methods=["GET", "HEAD"], include_in_schema=False)
    async def static(request: Request, name: str) -> Response:
        """Return a file of the page."""
        if name not in found:
            raise ApiError(404, "not_found", f"the page has no file {name[:100]!r}")
        return _answer(found[name], request)

    return routes


def _read() -> dict[str, _File]:
    """Read the page's files by name."""
    read = {}
    for entry in files("kandinsky_server").joinpath("page").iterdir():
        kind = _MEDIA_TYPES.get(f".{entry.name.rpartition('.')[2]}")
        if kind is not None:
            content = entry.read_bytes()
            etag = f'"{hashlib.sha256(content).hexdigest()[:24]}"'
            read[entry.name] = _File(content, kind, etag)
    return read


def _answer(file: _File, request: Request) -> Response:
    """Return a file, or that the browser's copy is still right.

    Browsers ask each time, so that a newer server never meets an older page.
    """
    headers = {"ETag": file.etag, "Cache-Control": "no-cache"}
    known = request.headers.get("if-none-match", "").split(",")
    if file.etag in [tag.strip().removeprefix("W/") for tag in known]:
        return Response(status_code=304, headers=headers)
    return Response(file.content, media_type=file.media_type, headers=headers)
