"""Checks what a file from outside says of a tensor: its name and its shape."""

from __future__ import annotations

import math
from typing import Any

from kandinsky_core.budgets import TENSOR_AXES, TENSOR_NAME_CHARACTERS, TENSOR_VALUES

__all__ = ["checked_name", "checked_shape"]


def checked_name(name: Any) -> str:
    """Return the name of a tensor.

    Raises:
        ValueError: It is no text, too long, or holds half of a surrogate pair.
    """
    if not isinstance(name, str):
        raise ValueError("a name that is no text")
    if len(name) > TENSOR_NAME_CHARACTERS:
        raise ValueError(
            f"a name of {len(name):,} characters; allowed are {TENSOR_NAME_CHARACTERS:,}"
        )
    name.encode("utf-8")
    return name


def checked_shape(sides: Any) -> tuple[int, ...]:
    """Return the shape of a tensor, whose size in bytes then fits any integer of NumPy.

    Raises:
        ValueError: It is no list or tuple of counts, or has too many axes or values.
    """
    if not isinstance(sides, (list, tuple)):
        raise ValueError("a shape that is no list")
    if len(sides) > TENSOR_AXES:
        raise ValueError(f"a shape of {len(sides):,} axes; allowed are {TENSOR_AXES}")
    # A bool is an int to Python, and no count.
    if any(type(side) is not int or side < 0 for side in sides):
        raise ValueError("a shape of something else than counts")
    if max(sides, default=0) > TENSOR_VALUES or (
        math.prod(max(side, 1) for side in sides) > TENSOR_VALUES
    ):
        raise ValueError(f"a shape of more than {TENSOR_VALUES:,} values")
    return tuple(sides)
