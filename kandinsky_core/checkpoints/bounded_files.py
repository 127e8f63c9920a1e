"""Checks small files from outside before they are read: a regular file within its budget.

A pipe or a device in place of a file would make its reader wait or read for ever.
"""

from __future__ import annotations

import stat
from pathlib import Path

from kandinsky_core.errors import CheckpointError

__all__ = ["read_bounded", "require_bounded"]


def require_bounded(path: Path, limit: int) -> None:
    """Refuse what is no regular file or has more than `limit` bytes; a link counts as its target.

    Raises:
        OSError: The file is missing or cannot be looked at.
        ValueError: It is a folder, pipe, device or socket, or it is larger.
    """
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise ValueError("it is no regular file, but a folder, a pipe or a device")
    if found.st_size > limit:
        raise ValueError(f"it has {found.st_size} bytes, and at most {limit} are read")


def read_bounded(path: Path, limit: int) -> bytes:
    """Read a whole file.

    Raises:
        CheckpointError: It cannot be read, is no regular file, or has more than `limit` bytes.
    """
    try:
        require_bounded(path, limit)
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
