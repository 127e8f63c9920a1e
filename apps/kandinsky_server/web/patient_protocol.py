"""HTTP/1.1 whose connections are bounded in number, and end where the other side is too slow.

uvicorn waits for ever for the rest of a request's headers, for the rest of a body that no route
reads, and for a client that does not take its answer. A few thousand such clients would hold all
connections (slowloris).
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any, ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from kandinsky_server.requests.api_errors import ApiError

__all__ = ["Patience", "patient_protocol"]

_TURN = 0.1
"""Seconds in which an event loop that stood still reads what has arrived meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a connection is waited for.

    Attributes:
        head: Seconds from the first byte of a request, or from the connection, to the end of the
            headers.
        body: Seconds from there to the end of the body. A route that reads it answers earlier.
        taking: Seconds in which a client takes nothing of an answer that waits for it.
        connections: How many there may be at once.
    """

    head: float
    body: float
    taking: float
    connections: int


def patient_protocol(patience: Patience) -> type[H11Protocol]:
    """Return the protocol's class for uvicorn, which makes an object for each connection."""

    class PatientProtocol(_PatientProtocol):
        """The protocol with its bounds."""

    PatientProtocol.patience = patience
    return PatientProtocol


class _PatientProtocol(H11Protocol):
    patience: ClassVar[Patience]

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._awaited: str | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._taking: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.patience.connections:
            message = "the server has as many connections as it takes: try again"
            self._send_away(ApiError(503, "too_many_connections", message, retry_after=5))
            return
        self._wait_for("head")

    def connection_lost(self, exc: Exception | None) -> None:
        self._wait_for(None)
        self._stop_looking()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        states = {h11.IDLE: "head", h11.SEND_BODY: "body"}
        closing = self.transport.is_closing()
        self._wait_for(None if closing else states.get(self.conn.their_state))

    def pause_writing(self) -> None:
        super().pause_writing()
        self._look_again()

    def resume_writing(self) -> None:
        self._stop_looking()
        super().resume_writing()

    def _wait_for(self, part: str | None) -> None:
        """Set the deadline of a part; bytes that come one by one do not move it."""
        if part == self._awaited:
            return
        self._awaited = part
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if part is not None:
            seconds = self.patience.head if part == "head" else self.patience.body
            self._deadline = self.loop.call_later(seconds, self._look_once_more)

    def _look_once_more(self) -> None:
        # Where Python stood still, what has arrived is read before the deadline counts.
        self._deadline = self.loop.call_later(_TURN, self._too_slow)

    def timeout_keep_alive_handler(self) -> None:
        end = super().timeout_keep_alive_handler
        self.timeout_keep_alive_task = self.loop.call_later(_TURN, end)

    def _too_slow(self) -> None:
        if self._awaited == "head" and not self.transport.is_closing():
            message = f"the headers took more than {self.patience.head:g} s to arrive"
            self._send_away(ApiError(408, "header_timeout", message))
        else:
            self.transport.abort()

    def _send_away(self, error: ApiError) -> None:
        body = json.dumps(error.body).encode()
        headers = {
            **error.headers,
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "Connection": "close",
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self.transport.write(f"HTTP/1.1 {error.status} \r\n{lines}\r\n".encode() + body)
        self.transport.close()

    def _look_again(self) -> None:
        """End the connection if nothing of what waits to be sent goes out until then."""
        before = self.transport.get_write_buffer_size()

        def look() -> None:
            if self.transport.get_write_buffer_size() >= before:
                self.transport.abort()
            else:
                self._look_again()

        self._stop_looking()
        self._taking = self.loop.call_later(self.patience.taking, look)

    def _stop_looking(self) -> None:
        if self._taking is not None:
            self._taking.cancel()
            self._taking = None
