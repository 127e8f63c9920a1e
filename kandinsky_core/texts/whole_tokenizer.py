"""Reads a tokenizer.json, which describes a whole tokenizer to the library `tokenizers`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from kandinsky_core.budgets import TOKENIZER_BYTES
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
        check_normalizer(found.get("normalizer") if isinstance(found, dict) else None)
        return Tokenizer.from_str(text)
