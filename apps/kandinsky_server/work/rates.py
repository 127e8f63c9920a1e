"""How long requests take, as far as earlier ones tell."""

from __future__ import annotations

import threading

from kandinsky_server.requests.picture_request import PictureRequest

__all__ = ["Rates"]

_FRESH = 0.3
"""Weight of the latest measurement."""


class Rates:
    """Seconds for each pixel, step and picture, by the model and task.

    It is used for the bound of the queue and for what clients are told. A task that has not been
    measured is taken to be as fast as the model's other ones, and a model as the others. The start
    measures one picture, so that the first client that is sent away is told a time.
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
        return self._rate(request) * _work(request) * rows

    def _rate(self, request: PictureRequest) -> float:
        with self._lock:
            if (request.model, request.task) in self._rates:
                return self._rates[request.model, request.task]
            of_model = [rate for (name, _), rate in self._rates.items() if name == request.model]
            near = of_model or list(self._rates.values())
        return sum(near) / len(near) if near else 0.0


def _work(request: PictureRequest) -> float:
    steps = request.options.get("num_inference_steps", 1)
    return float(request.height * request.width * steps)
