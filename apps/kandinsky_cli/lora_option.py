"""Reads the value of the option `--lora`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from kandinsky_core.checkpoints.lora_sources import require_lora_name
from kandinsky_core.errors import CheckpointError, InvalidInputError
from kandinsky_core.validation import real_number

__all__ = ["load_loras", "lora_words", "require_loras"]


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
    """Refuse a LoRA that is not there, before a model is loaded; the hub is not asked yet.

    Raises:
        InvalidInputError: There is no such file, or it is no LoRA by its name.
    """
    for path, _ in words:
        try:
            require_lora_name(path)
        except (InvalidInputError, CheckpointError) as error:
            raise InvalidInputError(f"--lora: {error}") from error


def load_loras(pipeline: Any, words: Sequence[tuple[str, float]]) -> None:
    """Load each LoRA, and let all of them count at their weights.

    Args:
        pipeline: The pipeline.
        words: What `lora_words` returned.

    Raises:
        KandinskyError: See `DiffusionPipeline.load_lora_weights`.
    """
    weights = {f"lora_{index}": weight for index, (_, weight) in enumerate(words)}
    for name, (path, weight) in zip(weights, words, strict=True):
        pipeline.load_lora_weights(path, adapter_name=name, weight=weight)
    if weights:
        pipeline.set_adapters(list(weights), list(weights.values()))
