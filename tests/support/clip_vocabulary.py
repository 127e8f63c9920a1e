"""A CLIP vocabulary of a few hundred tokens: every byte, some merges, the special tokens."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

__all__ = ["write_tokenizer"]

START, END = "<|startoftext|>", "<|endoftext|>"
_WORD_END = "</w>"


def write_tokenizer(folder: Path, words: Sequence[str], *, length: int = 77) -> Path:
    """Write the four files of a tokenizer whose merges build `words`, and return the folder."""
    alphabet = list(_byte_letters().values())
    vocabulary = dict.fromkeys(alphabet + [letter + _WORD_END for letter in alphabet])
    merges: dict[tuple[str, str], None] = {}
    for word in words:
        letters = [_byte_letters()[byte] for byte in word.encode()]
        letters[-1] += _WORD_END
        whole = letters[0]
        for letter in letters[1:]:
            merges[whole, letter] = None
            whole += letter
            vocabulary[whole] = None
    vocabulary |= {START: None, END: None}
    folder.mkdir(parents=True)
    ids = {token: index for index, token in enumerate(vocabulary)}
    (folder / "vocab.json").write_text(json.dumps(ids), encoding="utf-8")
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges), ""]
    (folder / "merges.txt").write_text("\n".join(lines), encoding="utf-8")
    tokens = {"bos_token": START, "eos_token": END, "unk_token": END, "pad_token": END}
    settings = {**tokens, "model_max_length": length, "tokenizer_class": "CLIPTokenizer"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    flags = {"lstrip": False, "normalized": True, "rstrip": False, "single_word": False}
    full = {name: {"content": token, **flags} for name, token in tokens.items()}
    (folder / "special_tokens_map.json").write_text(json.dumps(full), encoding="utf-8")
    return folder


def _byte_letters() -> dict[int, str]:
    """GPT-2's printable letter for each byte, in the order of CLIP's vocabulary."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    letters = {byte: chr(byte) for byte in printable}
    return letters | {byte: chr(256 + index) for index, byte in enumerate(others)}
