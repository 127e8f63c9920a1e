"""Files of tokenizers: CLIP's vocabulary and settings, `tokenizer.json`, `spiece.model`.

Beside the last may lie files that add tokens.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from random import Random
from typing import Any, ClassVar

from tools.fuzz.cases.byte_changes import changed_bytes, changed_text
from tools.fuzz.cases.case import Case, Content, Difference, Format
from tools.fuzz.cases.json_changes import changed_json, odd_text
from tools.fuzz.formats.json_files import parsed

__all__ = ["Tokenizers"]

_START, _END = "<|startoftext|>", "<|endoftext|>"
_WORDS = ("a", "b", "a</w>", "b</w>", "ab", "ab</w>", "c</w>", "c", _START, _END)
_CLIP: dict[str, Any] = {
    "vocab.json": {word: number for number, word in enumerate(_WORDS)},
    "tokenizer_config.json": {
        "bos_token": {"content": _START, "normalized": True},
        "eos_token": _END,
        "pad_token": "a",
        "unk_token": _END,
        "model_max_length": 12,
        "do_lower_case": True,
    },
    "special_tokens_map.json": {"bos_token": _START, "eos_token": {"content": _END}},
}
_MERGES = "#version: 0.2\na b\na b</w>\nab c</w>\n"
_WHOLE: dict[str, Any] = {
    "version": "1.0",
    "truncation": None,
    "padding": None,
    "added_tokens": [
        {
            "id": 0,
            "content": "<pad>",
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
    ],
    "normalizer": {"type": "NFKC"},
    "pre_tokenizer": {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always"},
    "post_processor": None,
    "decoder": None,
    "model": {
        "type": "Unigram",
        "unk_id": 1,
        "vocab": [["<pad>", 0.0], ["<unk>", 0.0], ["\u2581a", -1.0], ["b", -2.0], ["c", -2.5]],
    },
}
# Files beside `spiece.model`, which has five pieces.
_ADDED: dict[str, Any] = {
    "added_tokens.json": {"new_id_1": 7, "ab": 8, "</s>": 1},
    "tokenizer_config.json": {
        "extra_ids": 2,
        "added_tokens_decoder": {"7": {"content": "new_id_1", "special": True}, "1": "</s>"},
    },
}
_PROMPTS = ("", "ab c", "a b " * 200, "\u00e9\u4e2d\U0001f600 \0 ab")
_CLASSES = ("ClipTokenizer", "XLMRobertaTokenizer", "T5Tokenizer")


class Tokenizers(Format):
    """One tokenizer of one of three classes; it encodes four prompts."""

    name: ClassVar[str] = "tokenizers"

    def warm(self) -> None:
        """See `Format.warm`."""
        import logging

        import tokenizers  # noqa: F401

        import kandinsky_core.texts.t5_tokenizer  # noqa: F401

        logging.disable(logging.WARNING)  # prompts that are too long

    def make(self, random: Random) -> Case:
        """See `Format.make`."""
        kind = random.choice(("clip", "clip", "whole", "pieces"))
        if kind == "clip":
            return _clip(random)
        if kind == "whole":
            content, how = changed_json(random, _WHOLE)
            cls = random.choice(_CLASSES)
            files: dict[str, Content] = {"tokenizer.json": content}
            files["tokenizer_config.json"] = b"{}"
            return Case(files, [cls, *how], {"class": cls})
        return _pieces(random)

    def read(self, case: Case, folder: Path) -> Any:
        """See `Format.read`."""
        from kandinsky_core.texts.clip_tokenizer import ClipTokenizer
        from kandinsky_core.texts.file_tokenizer import XLMRobertaTokenizer
        from kandinsky_core.texts.t5_tokenizer import T5Tokenizer

        made: Any = {
            "ClipTokenizer": ClipTokenizer,
            "XLMRobertaTokenizer": XLMRobertaTokenizer,
            "T5Tokenizer": T5Tokenizer,
        }[case.settings["class"]]
        tokenizer = made.from_pretrained(folder)
        ids, mask = tokenizer(_PROMPTS)
        if ids.shape != (4, tokenizer.model_max_length) or mask.shape != ids.shape:
            raise Difference(f"{ids.shape} tokens of four prompts")
        if ids.min() < 0:
            raise Difference("a negative token")
        return ids

    def compare(self, found: Any, case: Case, folder: Path) -> None:
        """See `Format.compare`: CLIP's tokens are numbers that its vocabulary has."""
        if (folder / "vocab.json").is_file():
            known = set(parsed(folder / "vocab.json").values())
            strange = {int(number) for row in found for number in row} - known
            if strange:
                raise Difference(f"tokens that the vocabulary lacks: {sorted(strange)[:8]}")


def _clip(random: Random) -> Case:
    files: dict[str, Content] = {
        name: json.dumps(value).encode("utf-8") for name, value in _CLIP.items()
    }
    files["merges.txt"] = _MERGES.encode()
    name = random.choice(sorted(files))
    if name == "merges.txt":
        text, how = changed_text(random, _MERGES)
        content = text.encode("utf-8")
        if random.random() < 0.3:
            content, how = changed_bytes(random, content)
    else:
        content, how = changed_json(random, _CLIP[name])
    files[name] = content
    return Case(files, [name, *how], {"class": "ClipTokenizer"})


def _pieces(random: Random) -> Case:
    """Return a case of `spiece.model`, which is a message of protocol buffers."""
    pieces: list[tuple[str, float, int]] = [
        ("<pad>", 0.0, 3),
        ("</s>", 0.0, 3),
        ("<unk>", 0.0, 2),
        ("\u2581a", -1.0, 1),
        ("b", -2.0, 1),
    ]
    how = []
    if random.random() < 0.5:
        index = random.randrange(len(pieces))
        score = random.choice((float("nan"), float("inf"), -1e38, 0.0))
        pieces[index] = random.choice(
            ((odd_text(random), 0.0, 1), (pieces[index][0], score, random.randrange(8)), pieces[0])
        )
        how.append(f"piece {index}")
    content = b"".join(_field(1, _piece(*piece)) for piece in pieces)
    content += _field(2, b"\x18\x01" + b"\xc0\x02" + bytes([random.choice((2, 2, 2, 9, 127))]))
    if random.random() < 0.1:
        content += _field(3, _field(2, random.randbytes(random.choice((0, 4, 64)))))
        how.append("a character map")
    files: dict[str, Content] = {}
    if random.random() < 0.5:
        name = random.choice(sorted(_ADDED))
        files[name], more = changed_json(random, _ADDED[name])
        how += [name, *more]
    elif random.random() < 0.8 or not how:
        content, more = changed_bytes(random, content)
        how += more
    files["spiece.model"] = content
    return Case(files, ["pieces", *how], {"class": "T5Tokenizer"})


def _piece(text: str, score: float, kind: int) -> bytes:
    content = _field(1, text.encode("utf-8", "surrogatepass"))
    return content + b"\x15" + struct.pack("<f", score) + b"\x18" + bytes([kind])


def _field(number: int, content: bytes) -> bytes:
    size, length = len(content), b""
    while size > 0x7F:
        length += bytes([size & 0x7F | 0x80])
        size >>= 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + content
