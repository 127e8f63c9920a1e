"""Keeps so many models loaded; the one used longest ago makes room for another."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence

from kandinsky_core.errors import DeviceMemoryError
from kandinsky_server.work.engine import Drawn, Engine, Row, Watch

__all__ = ["ModelPool"]

logger = logging.getLogger("kandinsky_server")


class ModelPool:
    """The served models, of which some are loaded.

    A model is loaded when it is first used. Where one more than `most` would be, or where memory
    does not suffice, the one used longest ago is dropped. It is loaded again when it is needed; its
    programs are kept.

    Args:
        engines: The served models by name.
        most: Models that may be loaded at once; None for no bound but memory.
    """

    def __init__(self, engines: Mapping[str, Engine], most: int | None) -> None:
        self._engines = engines
        self._most = most
        self._used: dict[str, None] = {}  # the one used longest ago first
        self._lock = threading.Lock()

    def run(self, rows: Sequence[Row], watch: Watch, device: int = 0) -> Sequence[Drawn] | None:
        """Run a batch with its model on a device; see `Engine.run`.

        Raises:
            KandinskyError: See `Engine.run`.
        """
        name = rows[0].request.model
        self._make_room(name)
        while True:
            try:
                return self._engines[name].on(device).run(rows, watch)
            except DeviceMemoryError:
                if not self._drop_oldest(besides=name):
                    raise

    def _make_room(self, name: str) -> None:
        with self._lock:
            self._used.pop(name, None)
            self._used[name] = None
        while self._most is not None and len(self._used) > self._most:
            if not self._drop_oldest(besides=name):
                return

    def _drop_oldest(self, besides: str) -> bool:
        """Drop the model used longest ago; return whether there was one."""
        with self._lock:
            oldest = next((name for name in self._used if name != besides), None)
            if oldest is None:
                return False
            del self._used[oldest]
        logger.info("%s makes room for %s", oldest, besides)
        self._engines[oldest].release()
        return True
