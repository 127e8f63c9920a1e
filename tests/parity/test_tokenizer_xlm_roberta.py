"""The tokenizer of Kandinsky 2.1 against transformers' XLMRobertaTokenizerFast."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

transformers = pytest.importorskip("transformers")

from kandinsky_core.errors import CheckpointError  # noqa: E402
from kandinsky_core.texts.file_tokenizer import XLMRobertaTokenizer  # noqa: E402
from tests.support.xlm_roberta_vocabulary import PROMPTS, multilingual_tokenizer  # noqa: E402

LENGTH = 77
TEXTS = (
    *PROMPTS,
    "",
    " ",
    "  two   spaces\tand\na line ",
    "ﬁ２³",  # what normalisation changes
    "\N{SNOWMAN} unknown ☕",
    "<s> red </s> <pad> <mask>",
    " ".join(PROMPTS),
    "красный круг, " * 30,  # too long
    "x" * 75,  # with the three special tokens just too long
    "x" * 74,
)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, XLMRobertaTokenizer]:
    """transformers' tokenizer, and ours read from the folder that it saves."""
    folder = tmp_path_factory.mktemp("tokenizer")
    theirs = transformers.XLMRobertaTokenizerFast(
        tokenizer_object=multilingual_tokenizer(), model_max_length=512
    )
    theirs.save_pretrained(folder)
    return theirs, XLMRobertaTokenizer.from_pretrained(folder)


def compare(theirs: Any, ours: XLMRobertaTokenizer, texts: list[str]) -> None:
    expected = theirs(
        texts, padding="max_length", max_length=LENGTH, truncation=True, return_tensors="np"
    )
    ids, mask = ours(texts)
    assert (ids.shape, ids.dtype, mask.dtype) == ((len(texts), LENGTH), np.int32, np.bool_)
    np.testing.assert_array_equal(ids, expected.input_ids)
    np.testing.assert_array_equal(mask, expected.attention_mask)


@pytest.mark.parametrize("text", TEXTS)
def test_ids_and_mask_are_those_of_transformers(
    pair: tuple[Any, XLMRobertaTokenizer], text: str
) -> None:
    compare(*pair, [text])


def test_a_batch_is_its_rows(pair: tuple[Any, XLMRobertaTokenizer]) -> None:
    compare(*pair, list(TEXTS))


@settings(max_examples=60, deadline=None)
@given(text=st.text(max_size=120))
def test_any_text(pair: tuple[Any, XLMRobertaTokenizer], text: str) -> None:
    compare(*pair, [text])


def test_the_empty_text_is_its_two_ends_and_padding(
    pair: tuple[Any, XLMRobertaTokenizer],
) -> None:
    ids, mask = pair[1]([""])
    assert ids[0].tolist() == [0, 2, *[1] * 75]
    assert mask.sum() == 2


def test_what_is_cut_is_named_and_the_end_is_kept(
    pair: tuple[Any, XLMRobertaTokenizer], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        ids, mask = pair[1](["красный круг " * 30])
    assert mask.all()
    assert ids[0, -1] == 2
    (record,) = caplog.records
    lost = " ".join(["красный круг"] * 5)  # of three tokens each, 25 have room
    assert record.getMessage() == f"the prompt is longer than 77 tokens; left out: {lost!r}"
    caplog.clear()
    pair[1](list(PROMPTS))
    assert not caplog.records


def test_a_file_that_cuts_and_pads_by_itself_does_not_matter(tmp_path: Path) -> None:
    tokenizer = multilingual_tokenizer()
    tokenizer.enable_padding(pad_id=1, pad_token="<pad>", length=10)
    tokenizer.enable_truncation(5)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    ids, _ = XLMRobertaTokenizer.from_pretrained(tmp_path)([PROMPTS[1]])
    plain = multilingual_tokenizer().encode(PROMPTS[1]).ids
    assert ids[0].tolist() == plain + [1] * (LENGTH - len(plain))


def test_missing_and_damaged_files(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"lacks tokenizer\.json"):
        XLMRobertaTokenizer.from_pretrained(tmp_path)
    file = tmp_path / "tokenizer.json"
    file.write_text("{}", encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"tokenizer\.json cannot be read"):
        XLMRobertaTokenizer.from_pretrained(tmp_path)
    multilingual_tokenizer().save(str(file))
    content = json.loads(file.read_text(encoding="utf-8"))
    content["model"]["vocab"][1][0] = "<blank>"
    content["added_tokens"] = []
    file.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(CheckpointError, match="'<pad>' is not in its vocabulary"):
        XLMRobertaTokenizer.from_pretrained(tmp_path)
