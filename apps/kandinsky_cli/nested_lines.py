"""Nested facts as indented lines, as `kandinsky info`, `env` and `models` print them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["nested_lines"]

_COUNTS = ("tensors", "parameters", "bytes")


def nested_lines(data: Mapping[str, Any], indent: str = "") -> list[str]:
    """Return a line for each name with its value; what is None has no line."""
    lines: list[str] = []
    for name, value in data.items():
        if isinstance(value, Mapping):
            lines += [f"{indent}{name}:", *nested_lines(value, indent + "  ")]
        elif value is not None:
            text = ", ".join(map(_text, value)) if isinstance(value, (list, tuple)) else value
            text = f"{text:,}" if name in _COUNTS and isinstance(text, int) else text
            lines.append(f"{indent}{name}: {text}")
    return lines


def _text(value: Any) -> str:
    from kandinsky_cli.input_pictures import word_for
    from kandinsky_core.pictures.metadata import is_file_record

    return word_for(value) if is_file_record(value) else str(value)
