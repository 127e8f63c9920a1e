"""Makes files in a folder of their own first, so that a process that is killed leaves no half."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kandinsky_core.errors import InvalidInputError
from kandinsky_core.files import fcntl

__all__ = ["LOCK", "staging_folder", "sync_folder"]

LOCK = ".lock"
"""The file in a staging folder whose lock its process holds."""


@contextmanager
def staging_folder(partial: Path, target: Path, size: int) -> Iterator[None]:
    """Make an empty folder for files that the block writes and then moves to their place.

    The remains of an earlier process that was killed are removed first. A block that fails leaves
    nothing.

    Args:
        partial: The folder to make, on the disk of `target`.
        target: Where the files go in the end, for messages.
        size: Bytes that will be written; the disk's free room is compared with it at once.

    Raises:
        InvalidInputError: The folder cannot be made, or another process is using it. Or the disk
            lacks room, which may show before or during the block.
    """
    try:
        partial.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(partial.parent).free + _size_of(partial)
        if free < size:
            raise _no_room(target, f"{size / 1e9:.2f} GB are needed and {free / 1e9:.2f} GB free")
        lock = _take(partial)
    except OSError as error:
        raise InvalidInputError(f"{target} cannot be made: {error}") from error
    try:
        yield
    except BaseException as error:
        shutil.rmtree(partial, ignore_errors=True)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise _no_room(target, str(error)) from error
        raise
    finally:
        os.close(lock)


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _take(partial: Path) -> int:
    """Make the folder anew and take its lock; a killed process no longer holds it."""
    partial.mkdir(exist_ok=True)
    lock = os.open(partial / LOCK, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        if fcntl is not None:  # Windows has no such locks
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise InvalidInputError(
            f"another process is writing {partial}: wait for it, or name another folder"
        ) from error
    for item in partial.iterdir():
        if item.is_dir() and not item.is_symlink():
            shutil.rmtree(item)
        elif item.name != LOCK:
            item.unlink()
    return lock


def _no_room(target: Path, why: str) -> InvalidInputError:
    return InvalidInputError(
        f"the disk of {target} has no room: {why}; free some, or name a folder elsewhere "
        "(nothing was left behind)"
    )


def _size_of(folder: Path) -> int:
    return sum(item.stat().st_size for item in folder.rglob("*") if item.is_file())
