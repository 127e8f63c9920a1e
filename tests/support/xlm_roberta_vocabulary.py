"""A small vocabulary of XLM-RoBERTa's form: words and letters of three scripts, as SentencePiece's.

The published file differs in size and in its table of normalised characters alone.
"""

from __future__ import annotations

from string import ascii_lowercase, digits

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

__all__ = ["PROMPTS", "multilingual_tokenizer"]

PROMPTS = (
    "a red circle on a blue background",
    "красный круг на синем фоне",
    "蓝色背景上的红色圆圈",
    "low quality, bad quality",
)
_CYRILLIC = "".join(map(chr, range(ord("\u0430"), ord("\u0450"))))
_LETTERS = f"{ascii_lowercase}{_CYRILLIC}{digits},.!"
_WORDS = ("▁red", "▁circle", "▁quality", "▁низкое", "▁крас", "ный", "▁круг", "红色", "圆圈", "背景")


def multilingual_tokenizer() -> Tokenizer:
    """Ids 0 to 3 are `<s>`, `<pad>`, `</s>` and `<unk>`; `<mask>` is the last."""
    letters = dict.fromkeys(["▁", *_LETTERS, *"蓝色上的"])
    # The likelier a piece the nearer its score to 0; a word beats its letters.
    pieces = [(word, -3.0) for word in _WORDS] + [(letter, -4.0) for letter in letters]
    special = [(name, 0.0) for name in ("<s>", "<pad>", "</s>", "<unk>")]
    vocabulary = [*special, *pieces, ("<mask>", 0.0)]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=3, byte_fallback=False))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
    )
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    tokenizer.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    return tokenizer
