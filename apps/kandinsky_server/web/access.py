"""Who may use the server: keys, the addresses of pages, and headers that bind the page itself."""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kandinsky_server.requests.api_errors import ApiError
from kandinsky_server.settings import ServerSettings

__all__ = ["Access"]

OPEN = ("/healthz", "/readyz")
"""Routes that need no key: probes have none."""
_PAGE = ("/", "/favicon.ico")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._\-]{1,128}")
_HOST = re.compile(r"[A-Za-z0-9._\-]*(:[0-9]{0,5})?|\[[0-9A-Fa-f:.]+\](:[0-9]{0,5})?")
"""A name or an address with its port; nothing where a client of HTTP/1.0 sends none."""
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


class Access:
    """Middleware that checks a request before its body is read, and adds headers to answers.

    Args:
        app: The application.
        settings: The settings of the server.
        ending: Whether the server is about to end.
    """

    def __init__(
        self, app: ASGIApp, settings: ServerSettings, ending: Callable[[], bool] = lambda: False
    ) -> None:
        self._app = app
        self._settings = settings
        self._ending = ending

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else f"req_{secrets.token_hex(12)}"
        scope.setdefault("state", {})["request_id"] = request_id
        origin = headers.get("origin")

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                found = MutableHeaders(scope=message)
                found["x-request-id"] = request_id
                for name, value in _HEADERS.items():
                    found.setdefault(name, value)
                if self._ending():  # a kept connection would be cut below its next request
                    found["Connection"] = "close"
                if origin in self._settings.origins:
                    found["Access-Control-Allow-Origin"] = str(origin)
                    found.add_vary_header("Origin")
            await send(message)

        try:
            self._check(scope["path"], headers, origin)
        except ApiError as error:
            refusal = JSONResponse(error.body, error.status, error.headers)
            await refusal(scope, receive, answer)
            return
        if scope["method"] == "OPTIONS" and origin in self._settings.origins:
            await _preflight()(scope, receive, answer)
            return
        await self._app(scope, receive, answer)

    def _check(self, path: str, headers: Headers, origin: str | None) -> None:
        """Refuse a request that comes from elsewhere, or has no key.

        Raises:
            ApiError: It does (403, 401).
        """
        self._check_origin(headers.get("host", ""), origin)
        keys = self._settings.api_keys
        if not keys or path in OPEN or path in _PAGE or path.startswith("/static/"):
            return
        scheme, _, given = headers.get("authorization", "").partition(" ")
        # All keys are compared, so that the time tells nothing.
        right = [hmac.compare_digest(given.strip().encode(), key.encode()) for key in keys]
        if scheme.lower() != "bearer" or not any(right):
            raise ApiError(
                401, "invalid_api_key", "give a key of this server: Authorization: Bearer KEY"
            )

    def _check_origin(self, host: str, origin: str | None) -> None:
        """Refuse pages of other sites, which a browser lets send requests to this machine."""
        try:
            name = (urlsplit(f"//{host}").hostname or "") if _HOST.fullmatch(host) else None
            source = urlsplit(origin or "").netloc
        except ValueError:  # brackets around what is no address
            name = None
        if name is None:
            raise ApiError(400, "invalid_value", "Host or Origin is no address")
        known = ("localhost", "127.0.0.1", "::1", "testserver", self._settings.host)
        if self._settings.loopback and not self._settings.api_keys and name not in known:
            raise ApiError(403, "origin_not_allowed", f"Host {name[:100]} is not this server")
        if origin is None or origin in self._settings.origins:
            return
        if source != host:
            raise ApiError(
                403,
                "origin_not_allowed",
                f"pages of {origin[:100]} may not use this server: start it with --allow-origin",
            )


def _preflight() -> Any:
    from starlette.responses import Response

    allowed = {
        "Access-Control-Allow-Methods": "GET, POST, DELETE",
        "Access-Control-Allow-Headers": "authorization, content-type, idempotency-key",
        "Access-Control-Max-Age": "600",
    }
    return Response(status_code=204, headers=allowed)
