"""Tells whether a file is still the one that was read before."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["FileIdentity", "FileState", "file_identity", "file_state", "identity_of"]

FileIdentity = tuple[int, int, int, int]
"""Device, inode, bytes, and nanoseconds of the last change of the content."""

FileState = tuple[int, int, int, int, int]
"""The same, and nanoseconds of the last change of anything, which the system alone sets."""


def file_identity(path: Path) -> FileIdentity | None:
    """Return numbers that change when a file is replaced or written; None without a file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return identity_of(found)


def identity_of(found: os.stat_result) -> FileIdentity:
    """Return the same numbers of a file that is open."""
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def file_state(path: Path) -> FileState | None:
    """Return numbers by which a later process knows a file again; None without a file.

    A copy that keeps the time of its original, or a file that is renamed or linked to, has other
    numbers and still the same `file_identity`.
    """
    try:
        found = path.stat()
    except OSError:
        return None
    return *identity_of(found), found.st_ctime_ns
