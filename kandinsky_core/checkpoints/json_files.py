"""Reads every JSON file of a model, in one place so that a test can count the reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kandinsky_core.errors import CheckpointError

__all__ = ["load_json", "read_json"]


def load_json(path: Path) -> Any:
    """Read whatever value a JSON file holds. The last of duplicate keys wins.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is no JSON.
    """
    return json.loads(path.read_text(encoding="utf-8"))


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object. The last of duplicate keys wins, as published configs need.

    Raises:
        CheckpointError: The file cannot be read or holds no JSON object.
    """
    try:
        value = load_json(path)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} holds {type(value).__name__}, not a JSON object")
    return value
