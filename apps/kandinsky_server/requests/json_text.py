"""Reads JSON that a client sent: bounded in depth and in number, and no name twice."""

from __future__ import annotations

import json
from typing import Any

from kandinsky_core.checkpoints.json_files import is_deeper

__all__ = ["read_json_text"]

_DEEPEST = 16
"""Lists and objects within each other; a request needs 3."""
_MOST_VALUES = 20_000
"""Values in one text. Each takes time and memory far beyond its one or two bytes."""


def read_json_text(content: bytes | str) -> Any:
    """Return the value that JSON text holds.

    Raises:
        ValueError: It is no JSON, holds NaN or infinity, names a field twice, is nested too deeply,
            or holds too many values.
    """
    if isinstance(content, bytes):
        marks = content.count(b",") + content.count(b"[") + content.count(b"{")
    else:
        marks = content.count(",") + content.count("[") + content.count("{")
    if marks > _MOST_VALUES:
        raise ValueError(f"it holds more than {_MOST_VALUES:,} values")
    try:
        found = json.loads(content, parse_constant=_no_number, object_pairs_hook=_each_once)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    if is_deeper(found, _DEEPEST):
        raise ValueError(_TOO_DEEP)
    return found


_TOO_DEEP = f"its lists and objects are nested more than {_DEEPEST} deep"


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no number of JSON")


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice[:100]} is given twice: give it once")
    return found
