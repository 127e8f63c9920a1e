"""Turns single words of the command line into values; argparse names the option that is wrong."""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["item_weight", "path", "seed"]


def path(word: str) -> Path:
    """Return a path. An empty word is refused, as `Path("")` is the current folder."""
    if not word:
        raise argparse.ArgumentTypeError("it is empty: give a path, or leave the option out")
    return Path(word)


def seed(word: str) -> int:
    """Return a seed. The option takes all words that follow it, the prompt too."""
    try:
        return int(word)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"invalid int value: {word!r}; a PROMPT, ITEM or IMAGE comes before --seed"
        ) from None


def item_weight(word: str) -> float:
    """Return the weight of an item. The option takes all words that follow it, items too."""
    try:
        return float(word)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"invalid float value: {word!r}; each ITEM comes before --weights"
        ) from None
