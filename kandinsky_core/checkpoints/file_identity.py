"""Tells whether a file is still the one that was read before."""

from __future__ import annotations

from pathlib import Path

__all__ = ["FileIdentity", "file_identity"]

FileIdentity = tuple[int, int, int, int]
"""Device, inode, bytes, and nanoseconds of the last change."""


def file_identity(path: Path) -> FileIdentity | None:
    """Return numbers that change when a file is replaced or written; None without a file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
