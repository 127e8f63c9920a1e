"""Letters that a terminal obeys or does not show."""

from __future__ import annotations

import unicodedata

__all__ = ["odd_letters"]

# Control, format (with the marks of direction), surrogate, line and paragraph separator.
_KINDS = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))
_JOINERS = frozenset("\u200c\u200d")  # emoji and several scripts are written with them


def odd_letters(text: str) -> str:
    """Return those letters of a text that may not reach a terminal as they are."""
    return "".join(
        letter
        for letter in text
        if unicodedata.category(letter) in _KINDS and letter not in _JOINERS
    )
