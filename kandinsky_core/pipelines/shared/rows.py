"""Shares rows, of pictures or of conditioning, out among the pictures of a call."""

from __future__ import annotations

import numpy as np

from kandinsky_core.arrays import FloatArray
from kandinsky_core.errors import InvalidInputError

__all__ = ["doubled", "one_for_each", "require_even_shares"]


def require_even_shares(name: str, rows: FloatArray, count: int) -> None:
    """Refuse a number of rows that cannot be shared out evenly among the pictures.

    Raises:
        InvalidInputError: `count` is no multiple of the number of rows.
    """
    if count % len(rows):
        raise InvalidInputError(
            f"{name} holds {len(rows)} pictures for {count} to make: give one for all, or one for "
            "each prompt or embedding"
        )


def one_for_each(rows: FloatArray, count: int) -> FloatArray:
    """Repeat rows until each picture has one; the pictures of a row stand together.

    The number of rows has passed `require_even_shares`.
    """
    return np.repeat(rows, count // len(rows), axis=0)


def doubled(rows: FloatArray, guided: bool) -> FloatArray:
    """Return conditioning once, or under guidance twice: the unconditional rows share it."""
    return np.concatenate([rows, rows]) if guided else rows
