"""Reads the value of the option `--lora`."""

from __future__ import annotations

from pathlib import Path

from kandinsky_core.errors import InvalidInputError

__all__ = ["lora_words"]


def lora_words(text: str | None) -> list[tuple[str, float]]:
    """Return path and weight of each LoRA in `PATH[:WEIGHT],PATH[:WEIGHT]`.

    Raises:
        InvalidInputError: A path is empty, or a weight is no number.
    """
    found = []
    for word in (text or "").split(",") if text is not None else ():
        path, colon, weight = word.strip().rpartition(":")
        if not colon or Path(word.strip()).exists():
            path, weight = word.strip(), "1"
        try:
            found.append((path, float(weight)))
        except ValueError:
            raise InvalidInputError(
                f"--lora {word!r}: {weight!r} is no weight; write PATH or PATH:0.5"
            ) from None
        if not path:
            raise InvalidInputError("--lora names no file: write PATH or PATH:0.5")
    return found
