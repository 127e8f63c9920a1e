"""Keeps bytes by key in a folder: a reader gets an entry as it was written, or nothing.

An entry is one file, written beside its place and renamed. Its header names the key and holds a
checksum of the content, so a cut, changed or exchanged file is noticed, removed and made again. The
checksum also tells what a loss of power left, which is why no entry is forced to the disk.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import stat
import struct
import threading
from contextlib import suppress
from pathlib import Path

from kandinsky_core.files import replace_file, why_not

__all__ = ["KEY_BYTES", "FileStore"]

logger = logging.getLogger(__name__)

KEY_BYTES = 32
"""Length of a key, which is a SHA-256 digest of all that the content depends on."""

_MAGIC = b"KNDNSTOR"
_VERSION = 1
_HEADER = struct.Struct(f"<8sI{KEY_BYTES}sQ32s")  # magic, version, key, length and SHA-256
_NAME = re.compile(r"[0-9a-f]{64}\.entry")
_SCAN_EVERY = 32  # writes: between them other processes may have added entries
_READ = os.O_RDONLY | sum(
    getattr(os, flag, 0) for flag in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY")
)
_ROOT = 0


class FileStore:
    """A folder of entries that is bounded in size; those used longest ago make room.

    Several processes and threads may use one folder. What cannot be read or written is never an
    error: the entry is then missing, or not kept, and one warning says so.

    Args:
        folder: The folder; it is made when the first entry is written, for this user alone.
        limit: Bytes that all entries may take together.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder = folder
        self._limit = limit
        self._lock = threading.Lock()
        self._writes = 0
        self._taken = 0  # bytes, by the last look at the folder and our own writes since
        self._closed = False  # a write has failed, and others would, too
        self._warned: set[str] = set()

    def get(self, key: bytes) -> bytes | None:
        """Return the content of an entry, which is now the one used last, or None.

        An entry that is not whole, or that another user could have written, is removed.
        """
        path = self._path(key)
        try:
            descriptor = os.open(path, _READ)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:  # a symbolic link among others
            self._remove(path, why_not(error))
            return None
        with os.fdopen(descriptor, "rb") as file:
            try:
                found = os.fstat(descriptor)
                fault = _distrust(found, self._limit)
                content = b"" if fault else file.read(found.st_size + 1)
            except OSError as error:
                fault = why_not(error)
            fault = fault or _fault(content, key)
            if not fault:
                with suppress(OSError):  # the folder may be another's, or on a disk for reading
                    os.utime(descriptor if os.utime in os.supports_fd else path)
        if fault:
            self._remove(path, fault)
            return None
        return content[_HEADER.size :]

    def put(self, key: bytes, content: bytes) -> None:
        """Keep content under a key, if it can be written and is not larger than all may be."""
        size = _HEADER.size + len(content)
        if self._closed or size > self._limit:
            return
        digest = hashlib.sha256(content).digest()
        header = _HEADER.pack(_MAGIC, _VERSION, key, len(content), digest)
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with replace_file(self._path(key)) as temporary:
                temporary.chmod(0o600)
                with temporary.open("wb") as file:
                    file.write(header)
                    file.write(content)
            self._make_room(size)
        except OSError as error:
            self._closed = True
            logger.warning(
                "nothing more is kept for the next process: %s cannot be written (%s)",
                self.folder,
                why_not(error),
            )

    def drop(self, key: bytes, reason: str) -> None:
        """Remove an entry whose content turned out to be of no use, and say why."""
        self._remove(self._path(key), reason)

    def _path(self, key: bytes) -> Path:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a key has {KEY_BYTES} bytes, not {len(key)}")
        return self.folder / f"{key.hex()}.entry"

    def _remove(self, path: Path, reason: str) -> None:
        with suppress(OSError):
            path.unlink()
        if path.name not in self._warned:
            self._warned.add(path.name)
            logger.warning("%s is not used, and made again: %s", path, reason)

    def _make_room(self, added: int) -> None:
        with self._lock:
            self._taken += added
            look = self._writes % _SCAN_EVERY == 0 or self._taken > self._limit
            self._writes += 1
            if look:
                self._taken = _prune(self.folder, self._limit)


def _distrust(found: os.stat_result, limit: int) -> str:
    """Return why a file is not read at all, or nothing."""
    if not stat.S_ISREG(found.st_mode):
        return "it is no regular file"
    if hasattr(os, "geteuid") and found.st_uid not in (os.geteuid(), _ROOT):
        return f"it belongs to another user ({found.st_uid})"
    if os.name == "posix" and found.st_mode & stat.S_IWOTH:
        return "every user may write to it"
    if found.st_size > limit + _HEADER.size:
        return f"it has {found.st_size:,} bytes"
    return ""


def _fault(content: bytes, key: bytes) -> str:
    """Return what is wrong with a file's content, or nothing."""
    if len(content) < _HEADER.size:
        return "it is cut"
    magic, version, own, length, digest = _HEADER.unpack_from(content)
    if (magic, version) != (_MAGIC, _VERSION):
        return "it is no entry of this version"
    if own != key:
        return "it is another entry"
    if length != len(content) - _HEADER.size:
        return f"it has {len(content) - _HEADER.size:,} bytes of content in place of {length:,}"
    if hashlib.sha256(memoryview(content)[_HEADER.size :]).digest() != digest:
        return "its content is damaged"
    return ""


def _prune(folder: Path, limit: int) -> int:
    """Remove the entries used longest ago until the others fit; return the bytes that they take."""
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if _NAME.fullmatch(entry.name):
                with suppress(OSError):  # another process removed it
                    status = entry.stat(follow_symlinks=False)
                    found.append((status.st_mtime_ns, status.st_size, Path(entry.path)))
    taken = sum(size for _, size, _ in found)
    for _, size, path in sorted(found):
        if taken <= limit:
            break
        with suppress(OSError):
            path.unlink()
            taken -= size
    return taken
