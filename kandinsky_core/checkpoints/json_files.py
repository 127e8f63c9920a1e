"""Reads every JSON file of a model, in one place so that a test can count the reads."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from kandinsky_core.budgets import JSON_BYTES, JSON_DEPTH, JSON_DIGITS
from kandinsky_core.errors import CheckpointError
from kandinsky_core.files import require_regular, why_not

__all__ = ["is_deeper", "load_json", "parse_json", "read_json"]

# diffusers writes -Infinity into this file, for the field `lambda_min_clipped`.
_WITH_INFINITY = "scheduler_config.json"


def load_json(path: Path) -> Any:
    """Read whatever value a JSON file holds; see `parse_json`.

    Raises:
        OSError: The file cannot be read, is no regular file, or is too large.
        ValueError: It is no JSON.
    """
    require_regular(path, JSON_BYTES)
    return parse_json(path.read_text(encoding="utf-8"), infinity=path.name == _WITH_INFINITY)


def parse_json(text: str, *, infinity: bool = False) -> Any:
    """Return the value that JSON text holds. The last of duplicate keys wins.

    Args:
        text: The text.
        infinity: Whether numbers may be infinite. NaN is never allowed, as it equals nothing.

    Raises:
        ValueError: It is no JSON, nested too deeply, or holds NaN, a forbidden infinity or a whole
            number with too many digits.
    """

    def number(text: str) -> float:
        value = float(text)
        if math.isnan(value) or (math.isinf(value) and not infinity):
            raise ValueError(f"it holds {text[:20]}, which is no finite number")
        return value

    try:
        value = json.loads(text, parse_float=number, parse_constant=number, parse_int=_whole)
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not JSON ({error})") from error
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    if is_deeper(value, JSON_DEPTH):
        raise ValueError(_TOO_DEEP)
    return value


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object. The last of duplicate keys wins, as published configs need.

    Raises:
        CheckpointError: The file cannot be read or holds no JSON object.
    """
    try:
        value = load_json(path)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read as JSON: {why_not(error)}") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} holds {type(value).__name__}, not a JSON object")
    return value


_TOO_DEEP = f"its lists and objects are nested more than {JSON_DEPTH} deep"


def _whole(text: str) -> int:
    if len(text) > JSON_DIGITS:
        raise ValueError(f"it holds a number of {len(text)} digits, and at most {JSON_DIGITS} go")
    return int(text)


def is_deeper(value: Any, most: int) -> bool:
    """Tell whether lists and objects are nested more than `most` deep, without recursion."""
    level: list[Any] = [value]
    for _ in range(most + 1):
        level = [item for found in level for item in _items(found)]
        if not level:
            return False
    return True


def _items(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()
