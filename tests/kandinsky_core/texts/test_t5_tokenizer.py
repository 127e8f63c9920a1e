"""T5's tokenizer: ids, masks, length, and files that cannot be read."""

from __future__ import annotations

import json
import logging
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from kandinsky_core.errors import CheckpointError
from kandinsky_core.texts.t5_tokenizer import T5Tokenizer

PIECES = [
    ("<pad>", 0.0, 3),
    ("</s>", 0.0, 3),
    ("<unk>", 0.0, 2),
    ("▁", -3.0, 1),
    ("▁cat", -2.0, 1),
    ("▁a", -2.5, 1),
    ("ca", -4.0, 1),
    ("t", -4.0, 1),
    ("s", -4.5, 1),
]
# After the prompt's: the end of the text.
EXPECTED = {"a cat": [5, 4, 1], "": [1], "  cats  a ": [4, 8, 5, 1], "A cat": [3, 2, 4, 1]}


def varint(value: int) -> bytes:
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def pieces_file(algorithm: int = 1, pieces: list[Any] = PIECES, unknown: int = 2) -> bytes:
    """A model file, with a field of each kind that is to be passed over."""
    data = b""
    for text, score, kind in pieces:
        number = varint(2 << 3 | 5) + struct.pack("<f", score)
        data += field(1, field(1, text.encode()) + number + (field(3, kind) if kind != 1 else b""))
    data += field(2, field(3, algorithm) + field(40, unknown) + varint(50 << 3 | 1) + bytes(8))
    return data + field(3, field(1, b"identity")) + field(90, b"more")


def whole_file(folder: Path) -> None:
    vocabulary = [(text, score) for text, score, _ in PIECES]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=2))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.post_processor = processors.TemplateProcessing(
        single=["$A", "</s>"], special_tokens=[("</s>", 1)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "spiece.model").write_bytes(pieces_file())
    return tmp_path


@pytest.mark.parametrize(("prompt", "expected"), EXPECTED.items())
def test_rows_have_128_tokens_with_the_end_of_the_text_and_padding(
    folder: Path, prompt: str, expected: list[int]
) -> None:
    ids, mask = T5Tokenizer.from_pretrained(folder)([prompt, ""])
    assert ids.dtype == np.int32
    assert ids.shape == mask.shape == (2, 128)
    assert list(ids[0]) == expected + [0] * (128 - len(expected))
    assert list(mask.sum(axis=1)) == [len(expected), 1]
    assert mask[0, : len(expected)].all()


def test_a_whole_file_comes_first(folder: Path) -> None:
    whole_file(folder)
    (folder / "spiece.model").write_bytes(b"no model")
    ids, _ = T5Tokenizer.from_pretrained(folder)(["a cat"])
    assert list(ids[0, :4]) == [5, 4, 1, 0]


def test_what_is_too_long_is_cut_before_the_end_and_named(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        ids, mask = T5Tokenizer.from_pretrained(folder)(["cat " * 127 + "a a"])
    assert list(ids[0]) == [4] * 127 + [1]
    assert mask.all()
    assert "longer than 128 tokens; left out: 'a a" in caplog.text


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (pieces_file(algorithm=2), "its algorithm is number 2"),
        (pieces_file()[:-2], "it ends within a field"),
        (pieces_file(unknown=9), "9 pieces and piece 9 for unknown"),
        (pieces_file(pieces=[]), "0 pieces"),
        (b"\x0b", "stored in way 3"),
        (b"\x0a\xff", "cannot be read"),
        (b"\x08\x01", "a number stands where"),
        (pieces_file(pieces=[("", 0.0, 1)] * 3), "no piece '</s>'"),
    ],
)
def test_damaged_files_are_refused(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "spiece.model").write_bytes(data)
    with pytest.raises(CheckpointError, match=message):
        T5Tokenizer.from_pretrained(tmp_path)


def test_tokens_beyond_the_pieces(folder: Path) -> None:
    """Behind 9 pieces come the usual 100 tokens, and those of a file with an id left out."""
    (folder / "added_tokens.json").write_text(json.dumps({"new_id_1": 111, "new_id_12": 110}))
    ids, _ = T5Tokenizer.from_pretrained(folder)(["cat<extra_id_0>cat new_id_12 new_id_1"])
    assert list(ids[0, :6]) == [4, 108, 4, 110, 111, 1]
    (folder / "tokenizer_config.json").write_text(json.dumps({"extra_ids": 1}))
    ids, _ = T5Tokenizer.from_pretrained(folder)(["<extra_id_0>"])
    assert list(ids[0, :2]) == [9, 1]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("added_tokens.json", {"new": -1}, "the token 'new' with the id -1; allowed are"),
        ("added_tokens.json", {"new": True}, "the id True"),
        ("added_tokens.json", {"new": 10**6}, "the id 1000000"),
        ("added_tokens.json", {"": 200}, "the token ''"),
        ("added_tokens.json", {"\ud800": 200}, "adds the token"),
        ("added_tokens.json", {"new": 1}, "'new' with the id 1, which the token '.*' has"),
        ("added_tokens.json", {"a": 200, "b": 200}, "'b' with the id 200, which the token 'a' has"),
        ("added_tokens.json", {"new": 200, "<extra_id_0>": 201}, "that has two ids"),
        ("added_tokens.json", ["new"], "not a JSON object"),
        ("tokenizer_config.json", {"extra_ids": -1}, "extra_ids is -1, allowed"),
        ("tokenizer_config.json", {"extra_ids": 10**9}, "extra_ids is 1000000000"),
        ("tokenizer_config.json", {"added_tokens_decoder": {"9" * 5000: "a"}}, "with the id '999"),
        ("tokenizer_config.json", {"added_tokens_decoder": {"200": {"content": 3}}}, "token 3 "),
        ("tokenizer_config.json", {"added_tokens_decoder": {"200": "x" * 1001}}, "token 'xxx"),
    ],
)
def test_damaged_lists_of_added_tokens_are_refused(
    folder: Path, name: str, content: Any, message: str
) -> None:
    (folder / name).write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=message):
        T5Tokenizer.from_pretrained(folder)


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"lacks tokenizer\.json"):
        T5Tokenizer.from_pretrained(tmp_path)
