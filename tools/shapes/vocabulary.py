"""Learns a byte-pair vocabulary from captions, and writes it in CLIP's file form."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

__all__ = ["END", "START", "byte_symbols", "learn_merges", "write_vocabulary"]

START, END = "<|startoftext|>", "<|endoftext|>"
_WORD = re.compile(r"[^\W\d_]+|\d|[^\s\w]+|_+")


def byte_symbols() -> list[str]:
    """Return a printable character for each byte, in the order CLIP's vocabulary lists them.

    Printable Latin-1 bytes stand for themselves and come first; the others follow, as the
    characters from U+0100 on.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = 256 - len(printable)
    return [chr(byte) for byte in printable] + [chr(0x100 + index) for index in range(others)]


def _merged(word: tuple[str, ...], pair: tuple[str, str]) -> tuple[str, ...]:
    symbols: list[str] = []
    for symbol in word:
        if symbols and (symbols[-1], symbol) == pair:
            symbols[-1] += symbol
        else:
            symbols.append(symbol)
    return tuple(symbols)


def learn_merges(captions: Iterable[str]) -> list[tuple[str, str]]:
    """Merge the most frequent pair again and again until every word is one symbol.

    Ties are broken by the alphabet, so that the result depends on the captions alone.
    """
    counts = Counter(word for text in captions for word in _WORD.findall(text.lower()))
    words = {(*word[:-1], word[-1] + "</w>"): count for word, count in counts.items()}
    merges: list[tuple[str, str]] = []
    while True:
        pairs: Counter[tuple[str, str]] = Counter()
        for word, count in words.items():
            for pair in pairwise(word):
                pairs[pair] += count
        if not pairs:
            return merges
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        words = {_merged(word, best): count for word, count in words.items()}


def write_vocabulary(merges: list[tuple[str, str]], folder: Path) -> None:
    """Write vocab.json and merges.txt; the end token gets the largest id, as CLIP needs."""
    symbols = byte_symbols()
    tokens = [*symbols, *(symbol + "</w>" for symbol in symbols)]
    tokens += ["".join(pair) for pair in merges] + [START, END]
    ids = {token: index for index, token in enumerate(tokens)}
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(ids, ensure_ascii=False)
    (folder / "vocab.json").write_text(text + "\n", encoding="utf-8")
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
