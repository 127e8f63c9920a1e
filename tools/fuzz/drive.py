"""Starts workers, watches that none hangs or dies, and collects what they tell."""

from __future__ import annotations

import json
import os
import re
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

__all__ = ["SECONDS", "results", "scratch"]

SECONDS = 10.0
"""How long one case may take."""

_START = 120.0  # seconds until a worker has imported everything
_BATCH = 1000  # cases of one worker
# One thread: the cases are small, and idle threads take addresses.
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")


def results(name: str, first: int, count: int, until: float) -> Iterator[dict[str, Any]]:
    """Run cases of one format, and yield what became of each.

    Args:
        name: The format.
        first: The first case's seed; the others follow it.
        count: How many cases to run at most.
        until: When to stop, by `time.monotonic`.
    """
    seed, end = first, first + count
    while seed < end and time.monotonic() < until:
        batch = min(_BATCH, end - seed)
        for result in _batch(name, seed, batch, until):
            yield result
            seed = result["seed"] + 1


def _batch(name: str, first: int, count: int, until: float) -> Iterator[dict[str, Any]]:
    """Run one worker; it ends after its cases, or with a case that kills it or hangs."""
    receiver, sender = os.pipe()
    words = [sys.executable, "-m", "tools.fuzz.worker", name, str(first), str(count)]
    environment = os.environ | dict.fromkeys(_THREADS, "1") | {"MALLOC_ARENA_MAX": "1"}
    with tempfile.TemporaryFile() as errors, scratch() as place:
        worker = subprocess.Popen(
            [*words, str(place), "--report", str(sender)],
            env=environment,
            pass_fds=(sender,),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )
        os.close(sender)
        running, told = None, 0
        try:
            for message in _messages(receiver, until):
                if message.get("late"):
                    where = _stopped(worker, errors)
                    yield _dead(running or first, "hangs", f"{where} longer than {SECONDS:g} s")
                    return
                if "end" in message:
                    yield {"seed": message["end"], **message}
                    running, told = None, told + 1
                elif "read" not in message:
                    running = message.get("begin", message.get("warming"))
            if told < count and time.monotonic() < until:
                worker.wait(timeout=SECONDS)
                yield _dead(running or first, *_death(worker, errors))
        finally:
            worker.kill()
            worker.wait()
            os.close(receiver)


@contextmanager
def scratch() -> Iterator[Path]:
    """Yield an empty folder, in memory where the system has such a place; a worker may die."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        place = Path(folder) / "surroundings" / "case"
        place.mkdir(parents=True)
        yield place


def _messages(receiver: int, until: float) -> Iterator[dict[str, Any]]:
    """Yield messages until the worker ends, the time is over, or a message is late."""
    rest, allowed = b"", _START
    with selectors.DefaultSelector() as selector:
        selector.register(receiver, selectors.EVENT_READ)
        while time.monotonic() < until:
            if not selector.select(allowed):
                yield {"late": True}
                return
            read = os.read(receiver, 1 << 16)
            if not read:
                return
            allowed = SECONDS
            *lines, rest = (rest + read).split(b"\n")
            for line in lines:
                yield json.loads(line)


def _stopped(worker: subprocess.Popen[bytes], errors: IO[bytes]) -> str:
    """Stop a worker that hangs, and return where it was: Python tells at this signal."""
    worker.send_signal(signal.SIGABRT)
    with suppress(subprocess.TimeoutExpired):
        worker.wait(timeout=2)
    return _place(_written(errors))


def _death(worker: subprocess.Popen[bytes], errors: IO[bytes]) -> tuple[str, str]:
    """Say what a worker died of, and where."""
    text = _written(errors)
    lines = [line.strip() for line in text.splitlines() if line.strip()] or [""]
    code = worker.returncode
    kind = f"died of signal {-code}" if code < 0 else f"ended with status {code}"
    said = lines[0] if code < 0 else lines[-1]
    return kind, f"{_place(text)} {said[:300]}"


def _written(errors: IO[bytes]) -> str:
    errors.seek(0)
    return errors.read().decode("utf-8", "replace")


def _place(traceback: str) -> str:
    """Return the innermost line of the library in a traceback, which has it first."""
    frames = re.findall(r'File "([^"]*)", line (\d+)', traceback)
    own = [f"[{Path(name).name}:{line}]" for name, line in frames if "/kandinsky_" in name]
    return own[0] if own else ""


def _dead(seed: int, kind: str, said: str) -> dict[str, Any]:
    return {
        "seed": seed,
        "outcome": "failed",
        "kind": kind,
        "said": said,
        "how": [],
        "seconds": 0.0,
        "peak": 0,
    }
