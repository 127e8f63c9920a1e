"""Takes requests for pictures in: so many bytes at once, and so many pictures decoded at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from starlette.requests import Request

from kandinsky_server.requests.api_errors import ApiError
from kandinsky_server.requests.picture_request import PictureRequest
from kandinsky_server.service import Service
from kandinsky_server.web.body import Body, digest_of, read_body

__all__ = ["Intake"]

_AT_ONCE = 2
"""Requests whose pictures are decoded at once; each takes a few hundred MiB for a moment."""
_LONGEST_KEY = 255


class Intake:
    """Reads bodies and checks requests, within bounds that all connections share.

    A body within its own bound is no danger. A thousand of them would be.

    Args:
        service: The service that checks them.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._decoding = CapacityLimiter(_AT_ONCE)
        self._held = 0  # bytes of bodies; the event loop's thread alone counts

    async def take(
        self, request: Request, settle: Callable[[Body], Body] = lambda body: body
    ) -> tuple[PictureRequest, tuple[str, str] | None]:
        """Return the checked request of a body, and its `Idempotency-Key` with a digest.

        Args:
            request: The HTTP request.
            settle: Changes what the route knows better than the body.

        Raises:
            ApiError: The body or the request is refused, or too many bytes arrive at once (503).
        """
        self._service.require_ready()
        key = request.headers.get("idempotency-key")
        if key is not None and not 0 < len(key) <= _LONGEST_KEY:
            raise ApiError.invalid(
                "Idempotency-Key", f"Idempotency-Key: give 1 to {_LONGEST_KEY} characters"
            )
        with self._counted() as count:
            body = settle(await read_body(request, self._service.settings, count))
            limiter = self._decoding if body.pictures else None
            checked = await run_sync(
                self._service.request, body.given, body.pictures, limiter=limiter
            )
            digest = None if key is None else await run_sync(digest_of, request.url.path, body)
        return checked, None if key is None or digest is None else (key, digest)

    @contextmanager
    def _counted(self) -> Iterator[Callable[[int], None]]:
        own = 0

        def count(more: int) -> None:
            nonlocal own
            if self._held + more > self._service.settings.max_bodies:
                raise ApiError(
                    503,
                    "too_many_bytes",
                    "too many large requests arrive at once: try again",
                    retry_after=2,
                )
            own += more
            self._held += more

        try:
            yield count
        finally:
            self._held -= own
