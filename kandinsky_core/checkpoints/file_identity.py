"""Tells whether a file is still the one that was read before."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["FileIdentity", "file_identity", "identity_of"]

FileIdentity = tuple[int, int, int, int]
"""Device, inode, bytes, and nanoseconds of the last change."""


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
