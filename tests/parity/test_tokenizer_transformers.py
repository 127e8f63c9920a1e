"""Token ids and masks equal those of transformers; where the slow tokenizer differs is pinned."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

transformers = pytest.importorskip("transformers")

from kandinsky_core.checkpoints.hub import EMBEDDED  # noqa: E402
from kandinsky_core.texts.clip_tokenizer import ClipTokenizer  # noqa: E402
from tests.support.clip_vocabulary import write_tokenizer  # noqa: E402

WORDS = ["a", "the", "red", "circle", "blue", "it", "don", "we", "café", "naïve", "!!", "'s", "'ll"]
WORDS += ["кот", "рыба", "圆", "😀", "...", "don't"]
PLAIN = (
    "",
    "  \t\n ",
    "a large red circle on a blue background",
    "The RED Circle's don't, it's I'M we'll 'S!!!",
    "a'''s ''s \u2018s it\u2019s \u201cquoted\u201d",
    "café cafe\u0301 naïve ÀÉ Ångström A\u030angstro\u0308m \u2126 \u212b",
    "Красный КРУГ, рыба и кот",
    "\u3072\u3089 안녕하세요",
    "नमस्ते \u0627 \u0644\u0633 שלום",
    "😀 a 👩👧 red \U0001d400\U0001d401",
    "12 345 3rd \u00bd \u00b2 \u2167 \u2460",
    "a\tb\nc\u00a0d\u2003e\u1680f",
    "x" * 300,
    "red circle " * 60,
    "one two! " * 9,
    "<|endoftext|> hi <|ENDOFTEXT|> a<|startoftext|>b <|pad|>",
    "\u0130stanbul ß \u1e9e \u01c5 \ufb01 \u1fb3",
    "_under_score_ a-b c/d {e}: 50% &amp; #1 @you",
)
# Set apart, dropped or spelled otherwise by the slow tokenizer without ftfy.
CLEANED = (
    "红色的圆形 blue 円",
    "\x00a\x01",
    "a \ufffd b",
    "\ufeffbom",
    "zero\u200bwidth",
    "👩\u200d👧",
    "\x1c a",
    "f\x85g",
    "ΣΑΣ",
)
TEXTS = PLAIN + CLEANED


@pytest.fixture(scope="module", params=["shapes", "synthetic"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if request.param == "shapes":
        return EMBEDDED["shapes"] / "prior" / "tokenizer"
    return write_tokenizer(tmp_path_factory.mktemp("synthetic") / "tokenizer", WORDS)


@pytest.fixture(scope="module")
def ours(folder: Path) -> ClipTokenizer:
    return ClipTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def fast(folder: Path) -> Any:
    return transformers.CLIPTokenizerFast.from_pretrained(folder)


@pytest.fixture(scope="module")
def slow(folder: Path) -> Any:
    return transformers.CLIPTokenizer.from_pretrained(folder)


@pytest.fixture(autouse=True)
def _quiet() -> Any:
    """Tests of truncation read the warning elsewhere."""
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


def reference(tokenizer: Any, texts: list[str]) -> tuple[Any, Any]:
    length = tokenizer.model_max_length
    options = {"padding": "max_length", "max_length": length, "truncation": True}
    output = tokenizer(texts, **options, return_tensors="np")
    return output.input_ids, output.attention_mask


def assert_equal(given: tuple[Any, Any], expected: tuple[Any, Any]) -> None:
    np.testing.assert_array_equal(given[0], expected[0])
    np.testing.assert_array_equal(given[1], expected[1].astype(bool))


def test_batch_equals_the_fast_tokenizer(ours: ClipTokenizer, fast: Any) -> None:
    assert_equal(ours(TEXTS), reference(fast, list(TEXTS)))


@given(text=st.text(max_size=60))
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_text_equals_the_fast_tokenizer(ours: ClipTokenizer, fast: Any, text: str) -> None:
    assert_equal(ours([text]), reference(fast, [text]))


def test_slow_tokenizer_of_diffusers_gives_the_same(ours: ClipTokenizer, slow: Any) -> None:
    assert_equal(ours(PLAIN), reference(slow, list(PLAIN)))


def test_what_the_slow_tokenizer_does_otherwise(ours: ClipTokenizer, slow: Any) -> None:
    given, _ = ours(CLEANED)
    expected, _ = reference(slow, list(CLEANED))
    assert (given != expected).any(axis=1).all()


def test_tokenizer_json_gives_the_same(ours: ClipTokenizer, fast: Any, tmp_path: Path) -> None:
    fast.save_pretrained(tmp_path)
    for name in ("vocab.json", "merges.txt"):
        (tmp_path / name).unlink(missing_ok=True)
    assert (tmp_path / "tokenizer.json").is_file()
    again = ClipTokenizer.from_pretrained(tmp_path)
    assert_equal(again(TEXTS), ours(TEXTS))
