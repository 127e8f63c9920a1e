"""T5's token ids equal those of transformers' tokenizers and of SentencePiece itself.

transformers' fast tokenizer, made of `spiece.model`, gets the first word of a text wrong unless it
is told to put a space before it; `tokenizer.json` files that are published do so.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

transformers = pytest.importorskip("transformers")
sentencepiece = pytest.importorskip("sentencepiece")
pytest.importorskip("google.protobuf")

from kandinsky_core.texts.t5_tokenizer import T5Tokenizer  # noqa: E402

CORPUS = """a red cat sits on the mat, and a blue dog runs away
A photograph of the inside of a subway train. There are raccoons sitting on the seats.
An owl in a Space Suit; it is 12.5 metres tall (really!), don't you think?
красный кот на ковре, кофе и круассан
ultra-detailed, 4K, cinematic lighting
""".splitlines()
TEXTS = (
    "",
    "   ",
    "a red cat",
    "  two   spaces \t and\na tab  ",
    "A PHOTOGRAPH of raccoons, 12.5 metres; don't!",
    "красный кот и 红色的圆形 😀😀 x",
    "ﬁne café cafe\u0301 \uff21\uff22\uff23 ½ \u200b\u00a0end",
    "a</s>b <pad> <unk> ▁c",
    "red cat " * 100,
    "a new_id_3 b, x new_id_12 new_id_1, new_id_28 newid_3",
    "<extra_id_0> red<extra_id_99>cat <extra_id_100>\t<Extra_id_0>\n\uff21 \uff4eew_id_3",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer of T5's kind, of 300 pieces."""
    folder = tmp_path_factory.mktemp("t5")
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS * 4),
        model_prefix=str(folder / "spiece"),
        vocab_size=150,
        hard_vocab_limit=False,
        model_type="unigram",
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        minloglevel=2,
        num_threads=1,
    )
    return folder


def reference(tokenizer: Any) -> tuple[Any, Any]:
    found = tokenizer(
        list(TEXTS), padding="max_length", max_length=128, truncation=True, return_tensors="np"
    )
    return found.input_ids, found.attention_mask


def check(folder: Path, tokenizer: Any) -> None:
    ids, mask = T5Tokenizer.from_pretrained(folder)(TEXTS)
    theirs, their_mask = reference(tokenizer)
    np.testing.assert_array_equal(ids, theirs)
    np.testing.assert_array_equal(mask, their_mask)


def test_from_pieces(folder: Path) -> None:
    """As the slow tokenizer, which the published pipelines name."""
    check(folder, transformers.T5Tokenizer.from_pretrained(folder))


@pytest.mark.parametrize("extra_ids", [100, 0])
def test_added_tokens(folder: Path, tmp_path: Path, extra_ids: int) -> None:
    """As ai-forever's files list them, and as transformers saves them anew."""
    itself = sentencepiece.SentencePieceProcessor(model_file=str(folder / "spiece.model"))
    count = itself.vocab_size()
    mine = tmp_path / "listed"
    mine.mkdir()
    (mine / "spiece.model").write_bytes((folder / "spiece.model").read_bytes())
    listed = {f"new_id_{index}": count + 127 - index for index in range(28)}
    (mine / "added_tokens.json").write_text(json.dumps(listed))
    (mine / "tokenizer_config.json").write_text(json.dumps({"extra_ids": extra_ids}))
    slow = transformers.T5Tokenizer.from_pretrained(mine)
    assert (slow("<extra_id_0>").input_ids == [count + 99, 1]) == (extra_ids == 100)
    assert slow("new_id_3").input_ids == [count + 124, 1]
    check(mine, slow)
    slow.save_pretrained(tmp_path / "saved")
    (tmp_path / "saved/added_tokens.json").unlink()
    check(tmp_path / "saved", slow)


def test_as_sentencepiece_itself(folder: Path) -> None:
    itself = sentencepiece.SentencePieceProcessor(model_file=str(folder / "spiece.model"))
    texts = [text for text in TEXTS if "<" not in text]
    ids, mask = T5Tokenizer.from_pretrained(folder)(texts)
    for row, text in enumerate(texts):
        assert list(ids[row][mask[row]]) == [*itself.encode(text)[:127], 1], text


def test_from_a_whole_file(folder: Path, tmp_path: Path) -> None:
    fast = transformers.T5TokenizerFast(
        vocab_file=str(folder / "spiece.model"), add_prefix_space=True
    )
    fast.save_pretrained(tmp_path)
    (tmp_path / "spiece.model").unlink(missing_ok=True)
    check(tmp_path, fast)
