"""Checks the map of characters in a tokenizer's files, before the library believes its sizes.

The map begins with the number of bytes of its trie, as 4 bytes in little-endian order. The library
allocates as much as that number says, and the process ends where there is not so much memory.
"""

from __future__ import annotations

import base64
from typing import Any

__all__ = ["check_character_map", "check_normalizer"]

_SIZE = 4  # bytes of the number at the beginning


def check_character_map(data: bytes) -> None:
    """Refuse a map whose trie is said to be larger than the map itself.

    Raises:
        ValueError: It is.
    """
    size = int.from_bytes(data[:_SIZE], "little")
    if len(data) < _SIZE or size > len(data) - _SIZE:
        raise ValueError(
            f"its map of characters has {len(data):,} bytes, and a trie of {size:,} is said to be "
            "in it"
        )


def check_normalizer(normalizer: Any) -> None:
    """Check every map of characters in the entry `normalizer` of a tokenizer.json.

    Raises:
        ValueError: A map's trie is said to be larger than the map, or a map is no base64.
    """
    waiting = [normalizer]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            waiting += value.values()
            found = value.get("precompiled_charsmap")
            if isinstance(found, str):
                check_character_map(base64.b64decode(found))
