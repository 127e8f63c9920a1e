"""Reads only files that have an end, and writes a file so that its path never holds half of it."""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO

__all__ = [
    "NotRegularError",
    "blocks",
    "open_regular",
    "read_regular",
    "replace_file",
    "require_regular",
    "why_not",
]

# Windows has no such locks.
fcntl: Any = import_module("fcntl") if find_spec("fcntl") else None

_BLOCK = 2**20  # bytes read at once
# Without O_NONBLOCK a pipe that replaces the file after its check would hold up `os.open`.
_READ = os.O_RDONLY | sum(
    getattr(os, flag, 0) for flag in ("O_NONBLOCK", "O_NOCTTY", "O_CLOEXEC", "O_BINARY")
)
_CLAIM = os.O_RDWR | sum(
    getattr(os, flag, 0) for flag in ("O_NONBLOCK", "O_NOFOLLOW", "O_CLOEXEC", "O_BINARY")
)
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}
_LEFTOVER = re.compile(r"\.kandinsky-[0-9a-f]{16}\.part")  # the name of a temporary file


class NotRegularError(OSError):
    """A path leads to a folder, pipe, device or socket."""


def require_regular(path: str | Path, limit: int | None) -> None:
    """Refuse what is no regular file of at most `limit` bytes; a link counts as its target.

    This is for files that a library opens by their path. Others are opened by `open_regular`.

    Raises:
        NotRegularError: It is a folder, pipe, device or socket.
        OSError: The file is missing, cannot be looked at, or is too large.
    """
    _check_regular(Path(path).stat(), limit)


def open_regular(path: str | Path, limit: int | None) -> BinaryIO:
    """Open a file for reading, if it is a regular file of at most `limit` bytes.

    A pipe or a device may have no end, and may hold up its reader for ever. So they are refused,
    whatever names them: a word of the command line, or the metadata of a stranger's picture.

    Raises:
        NotRegularError: It is a folder, pipe, device or socket; none of these is opened.
        OSError: The file cannot be opened, or it is too large. `why_not` gives the reason in words.
    """
    try:
        # Opening a device may have effects, so its kind is looked at first.
        require_regular(path, limit)
        descriptor = os.open(path, _READ)
    except ValueError as error:
        raise OSError(errno.EINVAL, "no file can have such a name") from error
    try:
        _check_regular(os.fstat(descriptor), limit)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_regular(path: str | Path, limit: int) -> bytes:
    """Return the content of a regular file of at most `limit` bytes.

    Raises:
        OSError: As for `open_regular`.
    """
    with open_regular(path, limit) as file:
        return b"".join(blocks(file, limit))


def blocks(file: BinaryIO, limit: int) -> Iterator[bytes]:
    """Yield what is left of a file in blocks.

    Raises:
        OSError: There are more than `limit` bytes. A file may grow while it is read, and files of
            the system have no size that could be looked at before.
    """
    left = limit
    while block := file.read(min(_BLOCK, left + 1)):
        left -= len(block)
        if left < 0:
            raise OSError(errno.EFBIG, f"it has more than the {limit:,} bytes that are read")
        yield block


def why_not(error: Exception) -> str:
    """Say in words why a file could not be read; the number of the error says nothing to a user."""
    return getattr(error, "strerror", None) or str(error) or repr(error)


def _check_regular(found: os.stat_result, limit: int | None) -> None:
    if not stat.S_ISREG(found.st_mode):
        kind = _KINDS.get(stat.S_IFMT(found.st_mode), "something else")
        raise NotRegularError(errno.EINVAL, f"it is no regular file, but {kind}")
    if limit is not None and found.st_size > limit:
        size = f"it has {found.st_size:,} bytes"
        raise OSError(errno.EFBIG, f"{size}, more than the {limit:,} that are read")


@contextmanager
def replace_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, which replaces `path` when the block succeeds.

    The temporary file is locked while its process lives. The next write to the folder removes the
    files that killed processes left, which are the ones whose lock is free. A system without such
    locks (Windows) writes in the same way, but leaves these files.

    A new file gets the permissions that the process gives to new files. A file that is replaced
    hands its permissions on, as though it had been written in place; until then nobody else can
    read the new content. The block must write into the temporary file and not replace it, since
    the lock and the permissions belong to the file.

    Raises:
        OSError: The folder cannot be made or written.
    """
    folder = path.parent
    folder.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(folder)
    mode = _permissions(path)
    temporary, lock = _new_file(folder, 0o666 if mode is None else 0o600)
    try:
        yield temporary
        if mode is not None:
            temporary.chmod(mode)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
        if lock is not None:
            os.close(lock)  # only now: a file without a lock is anyone's to remove


def _permissions(path: Path) -> int | None:
    """Return the permissions of a file that is there already."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mode & 0o777 if stat.S_ISREG(found.st_mode) else None


def _new_file(folder: Path, mode: int) -> tuple[Path, int | None]:
    """Make an empty file; return its path and the descriptor that holds its lock, if any."""
    while True:
        path = folder / f".kandinsky-{secrets.token_hex(8)}.part"
        descriptor = os.open(path, _CLAIM | os.O_CREAT | os.O_EXCL, mode)
        if fcntl is None:
            os.close(descriptor)  # Windows moves no open file
            return path, None
        # Another process may have taken the file for a leftover before it was locked.
        if _locked(descriptor, unsupported=True) and _is_at(descriptor, path):
            return path, descriptor
        os.close(descriptor)


def _remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of processes that are gone. It is no error if that fails."""
    if fcntl is None:
        return
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if _LEFTOVER.fullmatch(entry.name):
                with suppress(OSError):
                    _remove_leftover(folder / entry.name)


def _remove_leftover(path: Path) -> None:
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
        return
    descriptor = os.open(path, _CLAIM)
    try:
        if _locked(descriptor, unsupported=False) and _is_at(descriptor, path):
            path.unlink()
    finally:
        os.close(descriptor)


def _locked(descriptor: int, *, unsupported: bool) -> bool:
    """Lock a file; return whether that worked, or `unsupported` where its disk has no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return unsupported
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    """Return whether a path still leads to an open file."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False
