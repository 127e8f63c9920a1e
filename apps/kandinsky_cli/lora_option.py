"""Reads the value of the option `--lora`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from kandinsky_core.checkpoints.lora import find_lora
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.validation import real_number

__all__ = ["lora_words", "require_loras"]


def lora_words(text: str | None) -> list[tuple[str, float]]:
    """Return path and weight of each LoRA in `PATH[:WEIGHT],PATH[:WEIGHT]`.

    Raises:
        InvalidInputError: A path is empty, or a weight is no finite number.
    """
    found = []
    for word in (text or "").split(",") if text is not None else ():
        path, colon, weight = word.strip().rpartition(":")
        if not colon or Path(word.strip()).exists():
            path, weight = word.strip(), "1"
        try:
            number = float(weight)
        except ValueError:
            raise InvalidInputError(
                f"--lora {word!r}: {weight!r} is no weight; write PATH or PATH:0.5"
            ) from None
        if not path:
            raise InvalidInputError("--lora names no file: write PATH or PATH:0.5")
        found.append((path, real_number(f"--lora {word!r}: weight", number)))
    return found


def require_loras(words: Iterable[tuple[str, float]]) -> None:
    """Refuse a LoRA that is not there, before a model is loaded.

    Raises:
        InvalidInputError: There is no such file, or it is no LoRA by its name.
    """
    for path, _ in words:
        try:
            find_lora(Path(path).expanduser())
        except InvalidInputError as error:
            raise InvalidInputError(f"--lora: {error}") from error
