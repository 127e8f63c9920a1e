"""Keeps jobs in SQLite and their pictures in files, so that a killed process loses none.

An acknowledged job is on the disk before its id goes out. Pictures are whole before the job says
completed. After a restart what ran is queued again, and makes the same pictures.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from kandinsky_core.errors import InvalidInputError
from kandinsky_core.files import replace_file
from kandinsky_server.requests.api_errors import ApiError
from kandinsky_server.requests.picture_request import PictureRequest
from kandinsky_server.work.job import Job, Made

__all__ = ["STORE_ERRORS", "JobStore"]

logger = logging.getLogger("kandinsky_server")

STORE_ERRORS = (OSError, sqlite3.Error)
"""What a disk that is full, gone or not writable raises."""

_VERSION = 2
_MOST_ATTEMPTS = 3
_SCHEMA = """
CREATE TABLE jobs (
    id TEXT PRIMARY KEY,
    created REAL NOT NULL,
    state TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    request TEXT NOT NULL,
    inputs TEXT NOT NULL,
    outputs TEXT NOT NULL,
    error TEXT,
    idempotency TEXT,
    digest TEXT,
    timings TEXT
);
CREATE INDEX jobs_created ON jobs (created);
"""


class JobStore:
    """The jobs of one folder, which one process at a time has.

    Args:
        folder: The folder; it is made. It must not lie on a network file system.

    Raises:
        InvalidInputError: Another server has the folder, it cannot be written, or a newer version
            of this library wrote it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock_file = _locked(folder / "lock")
            self._database = sqlite3.connect(folder / "jobs.sqlite3", check_same_thread=False)
            _migrate(self._database)
        except STORE_ERRORS as error:
            raise InvalidInputError(f"--state-dir {folder}: {error}") from error
        self._lock = threading.Lock()

    def add(self, job: Job) -> None:
        """Put a job on the disk, with the pictures that it starts from."""
        inputs = {name: len(contents) for name, contents in job.request.pictures.items()}
        key, digest = job.idempotency or (None, None)
        values = (job.id, job.created, job.state, job.attempt, job.request.to_json())
        rest = (json.dumps(inputs), "[]", None, key, digest, None)
        marks = ",".join("?" * len((*values, *rest)))
        try:
            for name, contents in job.request.pictures.items():
                for index, content in enumerate(contents):
                    _write(self._input(job.id, name, index), content)
            with self._transaction() as database:
                database.execute(f"INSERT INTO jobs VALUES ({marks})", (*values, *rest))
        except STORE_ERRORS:
            shutil.rmtree(self._of(job.id), ignore_errors=True)
            raise

    def update(self, job: Job) -> None:
        """Put on the disk what has become of a job: pictures first, then its state."""
        outputs = []
        for index, made in sorted(job.made.items()):
            path = self._output(job.id, index)
            if made.content is not None:
                _write(path, made.content)
                job.made[index] = Made(None, made.seed, made.width, made.height, path)
            outputs.append([index, made.seed, made.width, made.height])
        error = None
        if job.error is not None:
            found = job.error
            error = json.dumps([found.status, found.code, found.message])
        timings = json.dumps(job.timings) if job.finished else None
        values = (job.state, job.attempt, json.dumps(outputs), error, timings, job.id)
        with self._transaction() as database:
            database.execute(
                "UPDATE jobs SET state=?, attempt=?, outputs=?, error=?, timings=? WHERE id=?",
                values,
            )

    def remove(self, job_id: str) -> None:
        """Forget a job and remove its files."""
        with self._transaction() as database:
            database.execute("DELETE FROM jobs WHERE id=?", (job_id,))
        shutil.rmtree(self._of(job_id), ignore_errors=True)

    def load(self) -> list[Job]:
        """Return all jobs, the oldest first; one that was running is queued, one attempt later.

        A job that was begun three times fails, as it may be what ends the process. One that cannot
        be read, as a file of it is missing, is logged and left on the disk.
        """
        rows = self._database.execute(
            "SELECT id, created, state, attempt, request, inputs, outputs, error, idempotency, "
            "digest, timings FROM jobs ORDER BY rowid"
        ).fetchall()
        self._remove_others({row[0] for row in rows})
        jobs = []
        for row in rows:
            try:
                jobs.append(self._job(*row))
            except (OSError, ValueError, TypeError, LookupError) as error:
                logger.error("the job %s cannot be read and is left out", row[0], exc_info=error)
        for job in jobs:
            if job.attempt >= _MOST_ATTEMPTS and not job.finished:
                lost = f"the process ended {job.attempt} times while it made this"
                job.change("failed", ApiError(500, "worker_lost", lost))
                with contextlib.suppress(*STORE_ERRORS):  # the next start says the same
                    self.update(job)
        return jobs

    def _remove_others(self, known: set[str]) -> None:
        """Remove folders of jobs that were not taken, or removed, as the process was killed."""
        with contextlib.suppress(FileNotFoundError):
            for folder in (self._folder / "jobs").iterdir():
                if folder.name not in known:
                    shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        """Let another process have the folder."""
        with self._lock:
            self._database.close()
        self._lock_file.close()

    def _job(
        self,
        job_id: str,
        created: float,
        state: Any,
        attempt: int,
        request: str,
        inputs: str,
        outputs: str,
        error: str | None,
        key: str | None,
        digest: str | None,
        timings: str | None,
    ) -> Job:
        pictures = {
            name: tuple(self._input(job_id, name, index).read_bytes() for index in range(count))
            for name, count in json.loads(inputs).items()
        }
        job = Job(
            PictureRequest.from_json(request, pictures),
            job_id=job_id,
            created=created,
            attempt=attempt + (state in ("running", "compiling")),
        )
        job.idempotency = None if key is None else (key, digest or "")
        if state not in ("queued", "running", "compiling"):
            for index, seed, width, height in json.loads(outputs):
                job.made[index] = Made(None, seed, width, height, self._output(job_id, index))
            job.kept_timings = None if timings is None else json.loads(timings)
            job.change(state, None if error is None else ApiError(*json.loads(error)))
        return job

    def _of(self, job_id: str) -> Path:
        return self._folder / "jobs" / job_id

    def _input(self, job_id: str, name: str, index: int) -> Path:
        return self._of(job_id) / f"{name}-{index}.png"

    def _output(self, job_id: str, index: int) -> Path:
        return self._of(job_id) / f"picture-{index}"

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._database:
            yield self._database


def _locked(path: Path) -> IO[bytes]:
    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise InvalidInputError(
            f"--state-dir {path.parent}: another server has this folder: give each its own"
        ) from error
    return file


def _migrate(database: sqlite3.Connection) -> None:
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=FULL")  # an acknowledged job outlives a power cut
    database.execute("PRAGMA busy_timeout=5000")
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if version > _VERSION:
        raise InvalidInputError(
            f"--state-dir: it was written by a newer version (form {version}): give another folder"
        )
    change = {0: _SCHEMA, 1: "ALTER TABLE jobs ADD COLUMN timings TEXT;"}.get(version)
    if change is not None:
        database.executescript(f"BEGIN; {change} PRAGMA user_version={_VERSION}; COMMIT;")


def _write(path: Path, content: bytes) -> None:
    with replace_file(path) as temporary:
        temporary.write_bytes(content)
