"""Errors as OpenAI's clients read them: a status, and `{"error": {message, type, param, code}}`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["ApiError"]

# status -> the `type` of its errors
_TYPES: Mapping[int, str] = {
    401: "authentication_error",
    403: "permission_error",
    409: "conflict_error",
    429: "rate_limit_error",
}
# OpenAI's client tries these again by itself: 408, 409, 429 and every 5xx. It is told not to where
# the same request would fail the same way.
_POINTLESS = (
    *("job_finished", "generation_failed", "non_finite", "out_of_memory"),
    *("deadline_exceeded", "worker_lost"),
)
LONGEST_WAIT = 120
"""Seconds of `Retry-After` above which OpenAI's client gives up at once."""


class ApiError(Exception):
    """A request that is answered with an error.

    Attributes:
        status: The HTTP status.
        code: What went wrong, for programs.
        message: What was given, what is allowed, what to do; one line.
        param: The field that is wrong, or None.
        retry_after: Seconds after which another try may succeed, or None.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        param: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.param = param
        self.retry_after = retry_after

    @property
    def body(self) -> dict[str, Any]:
        """The answer's JSON."""
        kind = _TYPES.get(
            self.status, "server_error" if self.status >= 500 else "invalid_request_error"
        )
        param = None if self.param is None else _sendable(self.param)
        message = _sendable(self.message)
        return {"error": {"message": message, "type": kind, "param": param, "code": self.code}}

    @property
    def headers(self) -> dict[str, str]:
        """The headers that tell a client when to try again, and whether."""
        found = {}
        if self.status == 401:
            found["WWW-Authenticate"] = "Bearer"
        if self.retry_after is not None:
            found["Retry-After"] = str(min(LONGEST_WAIT, max(1, round(self.retry_after))))
        if self.code in _POINTLESS:
            found["x-should-retry"] = "false"
        return found

    @classmethod
    def invalid(cls, param: str, message: str, code: str = "invalid_value") -> ApiError:
        """A field has a value that is not allowed: status 400."""
        return cls(400, code, message, param=param)


def _sendable(text: str) -> str:
    """Return a text that UTF-8 can hold; what a client sent may hold half a letter."""
    return text.encode("utf-8", "backslashreplace").decode()
