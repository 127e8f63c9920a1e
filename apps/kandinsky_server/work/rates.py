"""How long requests take, as far as earlier ones tell."""

from __future__ import annotations

import threading

from kandinsky_server.requests.picture_request import PictureRequest

__all__ = ["Rates"]

_FRESH = 0.3
"""Weight of the latest measurement."""


class Rates:
    """Seconds for each pixel, step and picture, by the model and task.

    It is used for the bound of the queue and for what clients are told. Before there is a
    measurement, no time is claimed.
    """

    def __init__(self) -> None:
        self._rates: dict[tuple[str, str], float] = {}
        self._lock = threading.Lock()

    def measured(self, request: PictureRequest, rows: int, seconds: float) -> None:
        """Take a measurement of a batch."""
        key, rate = (request.model, request.task), seconds / (_work(request) * rows)
        with self._lock:
            before = self._rates.get(key, rate)
            self._rates[key] = before + _FRESH * (rate - before)

    def seconds(self, request: PictureRequest, rows: int) -> float:
        """Return about how many seconds so many pictures take; 0 where nothing is known."""
        with self._lock:
            rate = self._rates.get((request.model, request.task), 0.0)
        return rate * _work(request) * rows


def _work(request: PictureRequest) -> float:
    steps = request.options.get("num_inference_steps", 1)
    return float(request.height * request.width * steps)
