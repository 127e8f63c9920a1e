"""Makes a folder so that its path never holds an incomplete one."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kandinsky_core.errors import InvalidInputError

__all__ = ["new_folder"]

_LOCK = ".lock"


@contextmanager
def new_folder(path: Path, size: int) -> Iterator[Path]:
    """Yield a folder beside `path`, which is renamed to `path` when the block succeeds.

    The remains of an earlier process that was killed are removed first.

    Args:
        path: The folder to make. It must not exist, or must be empty.
        size: Bytes that will be written; the disk's free room is compared with it at once.

    Raises:
        InvalidInputError: The folder exists, cannot be made, or another process is making it. Or
            the disk lacks room, which may show before or during the block.
    """
    path = path.absolute()
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise InvalidInputError(f"{path} exists already: name another folder, or remove it first")
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(path.parent).free + _size_of(partial)
        if free < size:
            raise _no_room(path, f"{size / 1e9:.2f} GB are needed and {free / 1e9:.2f} GB free")
        lock = _take(partial)
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be made: {error}") from error
    try:
        yield partial
        _sync(partial)
        partial.rename(path)  # with the lock in it, or another process might take it now
        (path / _LOCK).unlink()
        _sync(path.parent)
    except BaseException as error:
        shutil.rmtree(partial, ignore_errors=True)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise _no_room(path, str(error)) from error
        raise
    finally:
        os.close(lock)


def _take(partial: Path) -> int:
    """Make the folder anew and take its lock; a killed process no longer holds it."""
    import fcntl  # not on Windows

    partial.mkdir(exist_ok=True)
    lock = os.open(partial / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise InvalidInputError(
            f"another process is writing {partial}: wait for it, or name another folder"
        ) from error
    for item in partial.iterdir():
        if item.is_dir() and not item.is_symlink():
            shutil.rmtree(item)
        elif item.name != _LOCK:
            item.unlink()
    return lock


def _no_room(path: Path, why: str) -> InvalidInputError:
    return InvalidInputError(
        f"the disk of {path} has no room: {why}; free some, or name a folder elsewhere "
        "(nothing was left behind)"
    )


def _size_of(folder: Path) -> int:
    return sum(item.stat().st_size for item in folder.rglob("*") if item.is_file())


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
