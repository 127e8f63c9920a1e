"""Reads a path that a user wrote, with `~` for a home folder."""

from __future__ import annotations

import errno
from pathlib import Path

from kandinsky_core.errors import InvalidInputError
from kandinsky_core.files import why_not

__all__ = ["user_path"]

_NO_PATH = (errno.ENAMETOOLONG, errno.EACCES)


def user_path(name: str | Path) -> Path:
    """Return a path with `~` and `~NAME` replaced by the home folders that they stand for.

    Args:
        name: What the user wrote. Nothing needs to exist there.

    Raises:
        InvalidInputError: This machine knows no home folder of that user, the name is too long for
            its file system, or the folder above it is closed to this process.
    """
    try:
        path = Path(name).expanduser()
    except RuntimeError as error:
        raise InvalidInputError(
            f"{str(name)!r}: this machine knows no home folder for {Path(name).parts[0]}: write "
            "the path in full, or './' before a name that starts with '~'"
        ) from error
    try:
        path.exists()
    except OSError as error:
        if error.errno in _NO_PATH:
            raise InvalidInputError(
                f"{str(name)!r}: {why_not(error)}: give another path"
            ) from error
    return path
