"""Tokenizers that `tokenizer.json` describes completely, such as XLM-RoBERTa's in Kandinsky 2.1.

The `tokenizers` library reads the file as transformers' fast tokenizers do. The classes here only
cut, pad, and report what was left out.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from kandinsky_core.checkpoints.inside import inside
from kandinsky_core.errors import CheckpointError
from kandinsky_core.texts.library_errors import checked_ids, library_errors
from kandinsky_core.texts.saved_tokenizer import SavedTokenizer
from kandinsky_core.texts.tokenizer_calls import TokenizerCalls
from kandinsky_core.texts.whole_tokenizer import read_whole_tokenizer

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["FileTokenizer", "XLMRobertaTokenizer"]

logger = logging.getLogger(__name__)


class FileTokenizer(SavedTokenizer, TokenizerCalls):
    """Turns prompts into token ids of one length.

    Args:
        tokenizer: The library's tokenizer, with the template that adds its special tokens.
        model_max_length: Length L of every row.
        pad: The padding token.

    Raises:
        CheckpointError: The padding token is not in the vocabulary, or the tokenizer does not work.
    """

    def __init__(self, tokenizer: Tokenizer, model_max_length: int, pad: str) -> None:
        number = tokenizer.token_to_id(pad)
        if number is None:
            raise CheckpointError(f"the tokenizer's token {pad!r} is not in its vocabulary")
        self.model_max_length = model_max_length
        with library_errors("the model's tokenizer"):
            (self._pad,) = checked_ids([number])
        with library_errors("the model's tokenizer"):
            tokenizer.no_padding()
            tokenizer.enable_truncation(model_max_length)
        self._tokenizer = tokenizer
        # Damage to a tokenizer's tables shows only when it works.
        self.tokenize_rows(["a text", ""])

    @property
    def pad_token_id(self) -> int:
        """Id of the token that fills a row behind the tokens of its text."""
        return int(self._pad)

    @classmethod
    def read(cls, folder: Path) -> Tokenizer:
        """Read `tokenizer.json`.

        Raises:
            CheckpointError: The file is missing or damaged.
        """
        file = inside(folder, "tokenizer.json")
        if not file.exists():
            raise CheckpointError(
                f"{folder} lacks tokenizer.json: load the tokenizer with transformers' "
                "AutoTokenizer once and save it there"
            )
        return read_whole_tokenizer(file)

    def tokenize_rows(self, prompts: Sequence[str]) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """Tokenize prompts, cutting what is too long (with a warning that names the lost text).

        Returns:
            Token ids [B, L] and the mask [B, L] that is True on tokens and False on padding.
        """
        ids = np.full((len(prompts), self.model_max_length), self._pad, np.int32)
        mask = np.zeros(ids.shape, np.bool_)
        for row, prompt in enumerate(prompts):
            # One by one: encode_batch starts threads, and tokenizers warns of them at every fork.
            with library_errors("the model's tokenizer"):
                found = self._tokenizer.encode(prompt)
                lost = [number for part in found.overflowing for number in part.ids]
                text = self._tokenizer.decode(lost)
                ids[row, : len(found.ids)] = checked_ids(found.ids)
            if found.overflowing:
                logger.warning(
                    "the prompt is longer than %d tokens; left out: %r",
                    self.model_max_length,
                    text,
                )
            mask[row, : len(found.ids)] = True
        return ids, mask

    def _whole(self, text: str, special: bool) -> list[int]:
        with library_errors("the model's tokenizer"):
            found = self._tokenizer.encode(text, add_special_tokens=special)
            # The library cuts. What it cut off comes in parts, each with special tokens of its own.
            parts = [
                (number, added)
                for part in (found, *found.overflowing)
                for number, added in zip(part.ids, part.special_tokens_mask, strict=True)
            ]
            own = list(found.special_tokens_mask)
            before = own.index(0) if 0 in own else 0
            inner = [number for number, added in parts if not added]
            outer = [n for n, added in zip(found.ids, own, strict=True) if added]
            return list(checked_ids([*outer[:before], *inner, *outer[before:]]))


class XLMRobertaTokenizer(FileTokenizer):
    """The tokenizer of Kandinsky 2.1's decoder; source: transformers' XLMRobertaTokenizerFast."""

    # The decoder was trained with rows of this length; the tokenizer's own limit is 512.
    LENGTH = 77
    slow_class: ClassVar[str] = "XLMRobertaTokenizer"
    slow_file: ClassVar[str] = "sentencepiece.bpe.model"

    @classmethod
    def _read_folder(cls, folder: Path) -> Self:
        """Read `tokenizer.json` from a folder.

        Raises:
            CheckpointError: The file is missing or damaged.
        """
        return cls(cls.read(folder), cls.LENGTH, "<pad>")
