"""Reads a path that a user wrote, with `~` for a home folder."""

from __future__ import annotations

from pathlib import Path

from kandinsky_core.errors import InvalidInputError

__all__ = ["user_path"]


def user_path(name: str | Path) -> Path:
    """Return a path with `~` and `~NAME` replaced by the home folders that they stand for.

    Args:
        name: What the user wrote. Nothing needs to exist there.

    Raises:
        InvalidInputError: This machine knows no home folder of that user.
    """
    try:
        return Path(name).expanduser()
    except RuntimeError as error:
        raise InvalidInputError(
            f"{str(name)!r}: this machine knows no home folder for {Path(name).parts[0]}: write "
            "the path in full, or './' before a name that starts with '~'"
        ) from error
