"""The tokenizer by hand-countable vocabularies; its equality with transformers is a parity test."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest

from kandinsky_core.checkpoints.hub import EMBEDDED
from kandinsky_core.errors import CheckpointError
from kandinsky_core.texts.clip_tokenizer import ClipTokenizer
from tests.support.clip_vocabulary import write_tokenizer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tokenizer(tmp_path / "tokenizer", ["red", "circle", "café", "the"], length=8)


def ids_of(folder: Path, *words: str) -> list[int]:
    vocabulary = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    return [vocabulary[word] for word in words]


def test_row_is_start_tokens_end_padding(folder: Path) -> None:
    ids, mask = ClipTokenizer.from_pretrained(folder)(["The  RED\ncircle", ""])
    end = "<|endoftext|>"
    expected = ids_of(folder, "<|startoftext|>", "the</w>", "red</w>", "circle</w>", *[end] * 4)
    np.testing.assert_array_equal(ids[0], expected)
    np.testing.assert_array_equal(mask[0], [True] * 5 + [False] * 3)
    np.testing.assert_array_equal(ids[1], ids_of(folder, "<|startoftext|>", *[end] * 7))
    np.testing.assert_array_equal(mask[1], [True] * 2 + [False] * 6)
    assert ids.dtype == np.int32
    assert mask.dtype == np.bool_


def test_pad_token_of_its_own(folder: Path) -> None:
    settings = json.loads((folder / "special_tokens_map.json").read_text(encoding="utf-8"))
    settings["pad_token"] = "!"
    (folder / "special_tokens_map.json").write_text(json.dumps(settings), encoding="utf-8")
    ids, mask = ClipTokenizer.from_pretrained(folder)(["red"])
    assert ids[0, 3:].tolist() == ids_of(folder, "!") * 5
    assert mask.sum() == 3


def test_accents_may_be_composed_or_not(folder: Path) -> None:
    tokenizer = ClipTokenizer.from_pretrained(folder)
    one, two = tokenizer(["caf\u00e9 red", "CAFE\u0301 red"])[0]
    np.testing.assert_array_equal(one, two)


def test_long_prompt_keeps_the_end_and_names_the_lost_text_once(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tokenizer = ClipTokenizer.from_pretrained(folder)
    fits, cut = "red " * 6, "red " * 6 + "circle café"
    with caplog.at_level(logging.WARNING):
        whole = tokenizer([fits])[0]
        assert not caplog.records
        shortened, mask = tokenizer([cut])
    np.testing.assert_array_equal(shortened, whole)
    assert mask.all()
    assert [record.getMessage() for record in caplog.records] == [
        "the prompt is longer than 8 tokens; left out: 'circle café'"
    ]


def test_length_is_77_where_the_file_knows_none(folder: Path) -> None:
    settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    for unknown in ({}, {"model_max_length": 10**30}, {"model_max_length": None}):
        settings.pop("model_max_length", None)
        changed = json.dumps(settings | unknown)
        (folder / "tokenizer_config.json").write_text(changed, encoding="utf-8")
        assert ClipTokenizer.from_pretrained(folder)(["red"])[0].shape == (1, 77)


def test_embedded_model_has_a_word_for_what_it_draws() -> None:
    tokenizer = ClipTokenizer.from_pretrained(EMBEDDED["shapes"] / "prior" / "tokenizer")
    _, mask = tokenizer(["a large red circle on a blue background"])
    assert mask.sum() == 2 + 8


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("merges.txt", None, "lacks vocab.json with merges.txt, and tokenizer.json"),
        ("vocab.json", "{", "cannot be read"),
        ("special_tokens_map.json", '{"bos_token": "<s>"}', "'<s>' is not in its vocabulary"),
        ("merges.txt", "#version: 0.2\nno pair here\n", "cannot be read"),
        ("tokenizer_config.json", None, "tokenizer_config.json cannot be read as JSON"),
        ("special_tokens_map.json", '{"pad_token": "<pad>"}', "'<pad>' is not in its vocabulary"),
    ],
)
def test_damaged_files_are_named(folder: Path, name: str, content: str | None, said: str) -> None:
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_text(content, encoding="utf-8")
    with pytest.raises(CheckpointError) as caught:
        ClipTokenizer.from_pretrained(folder)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_damaged_tokenizer_json_is_named(folder: Path) -> None:
    (folder / "vocab.json").unlink()
    (folder / "tokenizer.json").write_text("{}", encoding="utf-8")
    with pytest.raises(CheckpointError, match="cannot be read"):
        ClipTokenizer.from_pretrained(folder)
