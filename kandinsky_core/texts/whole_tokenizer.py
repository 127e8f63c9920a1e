"""Reads a tokenizer.json, which describes a whole tokenizer to the library `tokenizers`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kandinsky_core.budgets import TOKEN_CHARACTERS, TOKENIZER_BYTES
from kandinsky_core.checkpoints.regular_files import read_bounded
from kandinsky_core.texts.character_map import check_normalizer
from kandinsky_core.texts.library_errors import library_errors

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["read_whole_tokenizer"]


def read_whole_tokenizer(file: Path) -> Tokenizer:
    """Return the tokenizer that a file describes.

    Raises:
        CheckpointError: The file cannot be read, is too large, or is damaged.
    """
    from tokenizers import Tokenizer

    content = read_bounded(file, TOKENIZER_BYTES)
    with library_errors(file):
        text = content.decode()
        found = json.loads(text)
        if isinstance(found, dict):
            check_normalizer(found.get("normalizer"))
            _check_added_tokens(found.get("added_tokens"))
        return Tokenizer.from_str(text)


def _check_added_tokens(added: Any) -> None:
    """Refuse long tokens, as the library takes ever longer to prepare the search for them.

    What else may be wrong with the list, the library finds.
    """
    for token in added if isinstance(added, list) else ():
        content = token.get("content") if isinstance(token, dict) else None
        if isinstance(content, str) and len(content) > TOKEN_CHARACTERS:
            raise ValueError(
                f"it adds a token of {len(content):,} characters; allowed are {TOKEN_CHARACTERS:,}"
            )
