"""Keeps jobs as far as the disk lets it: one that is full ends neither a request nor a worker."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from pathlib import Path

from kandinsky_server.keeping.job_store import STORE_ERRORS, JobStore
from kandinsky_server.requests.api_errors import ApiError
from kandinsky_server.work.job import Job

__all__ = ["SafeStore"]

logger = logging.getLogger("kandinsky_server")


class SafeStore:
    """A `JobStore` whose failures are told and counted.

    Jobs that a connection waits for are not kept.

    Args:
        folder: The folder, or None, which keeps nothing.
        failed: Called where a job cannot be written.

    Raises:
        InvalidInputError: See `JobStore`.
    """

    def __init__(self, folder: Path | None, failed: Callable[[], None]) -> None:
        self._store = None if folder is None else JobStore(folder)
        self._failed = failed

    def add(self, job: Job) -> None:
        """Put a job on the disk.

        Raises:
            ApiError: It cannot be written (503).
        """
        if self._store is None or job.owned:
            return
        try:
            self._store.add(job)
        except STORE_ERRORS as error:
            self._lost(job, error)
            message = f"the job cannot be kept: {error}: it was not taken"
            raise ApiError(503, "storage_failed", message, retry_after=30) from error

    def update(self, job: Job) -> None:
        """Put on the disk what has become of a job.

        Where that fails its pictures stay in memory, and a restart makes them again.
        """
        if self._store is None or job.owned:
            return
        try:
            self._store.update(job)
        except STORE_ERRORS as error:
            self._lost(job, error)

    def remove(self, job: Job) -> None:
        """Forget a job; where that fails, the next start finds it again."""
        if self._store is None:
            return
        try:
            self._store.remove(job.id)
        except STORE_ERRORS as error:
            self._lost(job, error)

    def load(self) -> list[Job]:
        """Return all jobs; see `JobStore.load`."""
        return [] if self._store is None else self._store.load()

    def close(self) -> None:
        """Let another process have the folder."""
        if self._store is not None:
            with contextlib.suppress(Exception):
                self._store.close()

    def _lost(self, job: Job, error: Exception) -> None:
        self._failed()
        logger.error("the job %s cannot be written: %s", job.id, error)
