"""Reads which tokens T5's tokenizer has beyond the pieces of `spiece.model`.

Source: transformers' T5Tokenizer. Behind the pieces come `<extra_id_99>` down to `<extra_id_0>`,
which mark gaps in T5's training. UL2 has 28 more, `new_id_0` and so on, in `added_tokens.json`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from kandinsky_core.budgets import ADDED_TOKENS, TOKEN_CHARACTERS
from kandinsky_core.checkpoints.inside import inside
from kandinsky_core.checkpoints.json_files import read_json
from kandinsky_core.configs.rules import shown
from kandinsky_core.errors import CheckpointError

__all__ = ["added_tokens"]

_EXTRA_IDS = 100  # where no file says how many
_SURROGATE = re.compile("[\ud800-\udfff]")  # half a character, which JSON can say


def added_tokens(folder: Path, pieces: Sequence[str]) -> list[str]:
    """Return the tokens whose ids follow those of the pieces.

    Where files leave an id without a token, a text stands in that no prompt holds.

    Args:
        folder: The tokenizer's folder; its JSON files may be missing.
        pieces: The texts of all pieces.

    Raises:
        CheckpointError: A file is damaged, adds too many or too long tokens, or gives an id to two.
    """
    count = len(pieces)
    file = inside(folder, "tokenizer_config.json")
    settings = read_json(file) if file.exists() else {}
    extra = settings.get("extra_ids", _EXTRA_IDS)
    if type(extra) is not int or not 0 <= extra <= ADDED_TOKENS:
        raise CheckpointError(
            f"{file}: extra_ids is {shown(extra)}, allowed is a whole number from 0 to "
            f"{ADDED_TOKENS}"
        )
    tokens = {count + extra - 1 - index: f"<extra_id_{index}>" for index in range(extra)}
    written: dict[int, str] = dict(enumerate(pieces))
    for source, number, token in _written(folder, file, settings):
        if not (
            isinstance(token, str)
            and 0 < len(token) <= TOKEN_CHARACTERS
            and not _SURROGATE.search(token)
            and type(number) is int
            and 0 <= number < count + ADDED_TOKENS
        ):
            raise CheckpointError(
                f"{source} adds the token {shown(token)} with the id {shown(number)}; allowed are "
                f"texts of at most {TOKEN_CHARACTERS:,} characters, and ids below "
                f"{count + ADDED_TOKENS:,}"
            )
        if written.setdefault(number, token) != token:
            raise CheckpointError(
                f"{source} adds the token {shown(token)} with the id {number}, which the token "
                f"{shown(written[number])} has"
            )
        tokens[number] = token
    last = max(tokens, default=-1)
    return [tokens.get(number, f"\U0010ffff{number}") for number in range(count, last + 1)]


def _written(
    folder: Path, file: Path, settings: dict[str, Any]
) -> Iterator[tuple[Path, object, object]]:
    """Yield file, id and text of each token that a file adds, whatever their types."""
    found = settings.get("added_tokens_decoder")
    if isinstance(found, dict):  # newer than the other file, and with all that it has
        for number, entry in found.items():
            token = entry.get("content") if isinstance(entry, dict) else entry
            short = number.isdecimal() and len(number) < 10
            yield file, int(number) if short else number, token
        return
    older = inside(folder, "added_tokens.json")
    if older.exists():
        for token, number in read_json(older).items():
            yield older, number, token
