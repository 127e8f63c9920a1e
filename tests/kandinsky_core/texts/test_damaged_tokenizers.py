"""Files of tokenizers that are damaged or of wrong types give an error, at loading if possible."""

from __future__ import annotations

import json
import math
import os
import sys
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest

from kandinsky_core.errors import CheckpointError
from kandinsky_core.texts.clip_tokenizer import ClipTokenizer
from kandinsky_core.texts.file_tokenizer import XLMRobertaTokenizer
from kandinsky_core.texts.t5_tokenizer import T5Tokenizer
from tests.kandinsky_core.texts.test_t5_tokenizer import PIECES, field, pieces_file
from tests.support.clip_vocabulary import write_tokenizer
from tests.support.damage import edit_json

VAST = "/P///wAAAAA="  # a map of characters that claims 4 GB; the library would allocate twice that


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_tokenizer(tmp_path / "tokenizer", ["cat"])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("model_max_length", "77"),
        ("model_max_length", []),
        ("model_max_length", True),
        ("model_max_length", 2),
        ("model_max_length", -1),
        ("bos_token", 3),
        ("eos_token", []),
        ("pad_token", {"content": 3}),
    ],
)
def test_settings_of_wrong_types(clip: Path, name: str, value: Any) -> None:
    (clip / "special_tokens_map.json").unlink()
    edit_json(clip / "tokenizer_config.json", **{name: value})
    with pytest.raises(CheckpointError, match=f"{name} is .*allowed"):
        ClipTokenizer.from_pretrained(clip)


@pytest.mark.parametrize("value", [None, 10**30, 1e30])
def test_no_limit_means_the_usual_length(clip: Path, value: Any) -> None:
    edit_json(clip / "tokenizer_config.json", model_max_length=value)
    assert ClipTokenizer.from_pretrained(clip).model_max_length == 77


@pytest.mark.parametrize(
    "content", ["[]", "3", "{", '{"a": null}', '{"a": -1}', '{"a": 1.5}', '{"a": 1099511627776}']
)
def test_a_vocabulary_of_wrong_types(clip: Path, content: str) -> None:
    (clip / "vocab.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"vocab|tokenizer"):
        ClipTokenizer.from_pretrained(clip)


@pytest.mark.parametrize("lines", ["abc", "a b c", "x y", "\0"])
def test_merges_that_are_none(clip: Path, lines: str) -> None:
    (clip / "merges.txt").write_text(f"#version: 0.2\n{lines}\n")
    with pytest.raises(CheckpointError, match="tokenizer in"):
        ClipTokenizer.from_pretrained(clip)


@pytest.mark.skipif(sys.platform == "win32", reason="has no such files")
@pytest.mark.parametrize("name", ["vocab.json", "merges.txt", "tokenizer_config.json"])
def test_files_that_are_none(clip: Path, name: str) -> None:
    (clip / name).unlink()
    os.mkfifo(clip / name)
    with pytest.raises(CheckpointError, match="no regular file"):
        ClipTokenizer.from_pretrained(clip)
    (clip / name).unlink()
    (clip / name).symlink_to("/etc/hostname")
    with pytest.raises(CheckpointError, match="outside of"):
        ClipTokenizer.from_pretrained(clip)


def whole(**changes: Any) -> dict[str, Any]:
    """The content of a tokenizer.json."""
    model = {
        "type": "Unigram",
        "unk_id": 0,
        "vocab": [["<unk>", 0.0], ["<pad>", 0.0], ["a", -1.0]],
    }
    parts = ("truncation", "padding", "normalizer", "pre_tokenizer", "post_processor", "decoder")
    found: dict[str, Any] = {"version": "1.0", "added_tokens": [], **dict.fromkeys(parts)}
    return {**found, "model": {**model, **changes.pop("model", {})}, **changes}


def template(ids: list[int], count: int = 1) -> dict[str, Any]:
    special = [{"SpecialToken": {"id": "x", "type_id": 0}}] * count
    single = [*special, {"Sequence": {"id": "A", "type_id": 0}}]
    tokens = {"x": {"id": "x", "ids": ids, "tokens": ["x"] * len(ids)}}
    return {
        "type": "TemplateProcessing",
        "single": single,
        "pair": [],
        "special_tokens": tokens,
    }


@pytest.mark.parametrize(
    "content",
    [
        [],
        {},
        whole(model={"vocab": []}),
        whole(model={"unk_id": 99}),
        whole(model={"unk_id": None}),
        whole(normalizer={"type": "Precompiled", "precompiled_charsmap": "AAAA"}),  # panics
        whole(normalizer={"type": "Precompiled", "precompiled_charsmap": VAST}),
        whole(normalizer={"type": "Sequence", "normalizers": [{"precompiled_charsmap": VAST}]}),
        whole(added_tokens=[{"content": "x" * 100_000}]),  # takes the library long
        whole(post_processor=template([2**32 - 1])),
        whole(post_processor=template([1], count=200)),
    ],
)
@pytest.mark.parametrize("kind", [XLMRobertaTokenizer, T5Tokenizer])
def test_a_whole_tokenizer_that_is_damaged(tmp_path: Path, kind: Any, content: Any) -> None:
    (tmp_path / "tokenizer.json").write_text(json.dumps(whole()))
    kind.from_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match="tokenizer"):
        kind.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    "data",
    [
        b"\xff" * 200_000,  # a number of a million bits
        pieces_file(pieces=[*PIECES, ("q", math.nan, 1)]),
        pieces_file(pieces=[*PIECES, ("q", math.inf, 1)]),
        pieces_file() + field(3, field(2, b64decode(VAST))),
        pieces_file() + field(3, field(2, bytes(4))),  # panics
        pieces_file() + field(3, field(2, b"\x04\0\0\0\xff\xff\xff\xffabc")),  # panics
    ],
)
def test_pieces_that_are_damaged(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "spiece.model").write_bytes(data)
    with pytest.raises(CheckpointError):
        T5Tokenizer.from_pretrained(tmp_path)
