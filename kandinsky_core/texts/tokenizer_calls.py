"""Calls of transformers' tokenizers: `tokenizer(text, return_tensors="pt").input_ids`, `decode`."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from kandinsky_core.errors import InvalidInputError
from kandinsky_core.pictures.inputs import as_array
from kandinsky_core.pictures.torch_tensors import as_torch
from kandinsky_core.texts.library_errors import library_errors
from kandinsky_core.validation import one_of, positive_int

__all__ = ["TokenBatch", "TokenizerCalls"]

_NAMES = ("input_ids", "attention_mask")
_IGNORED = ("return_attention_mask", "return_length", "return_overflowing_tokens", "verbose")
_PADDINGS = {True: "longest", False: "do_not_pad", None: "do_not_pad"}


@dataclass(frozen=True, slots=True, eq=False)
class TokenBatch:
    """Token ids and their mask: `batch.input_ids`, `batch["input_ids"]`, `ids, mask = batch`.

    Attributes:
        input_ids: Token ids, [B, L] or a list.
        attention_mask: 1 or True on tokens, 0 or False on padding, in the form of the ids.
    """

    input_ids: Any
    attention_mask: Any

    def keys(self) -> tuple[str, ...]:
        """Return the names, so that `f(**batch)` works."""
        return _NAMES

    def __getitem__(self, key: int | str) -> Any:
        if isinstance(key, str):
            if key not in _NAMES:
                raise KeyError(key)
            return getattr(self, key)
        return tuple(self)[key]

    def __iter__(self) -> Iterator[Any]:
        return iter((self.input_ids, self.attention_mask))

    def to(self, *targets: Any, **options: Any) -> Self:
        """Return PyTorch's tensors on another device; arrays and lists stay as they are."""
        if not hasattr(self.input_ids, "to"):
            return self
        return type(self)(*(value.to(*targets, **options) for value in self))


class TokenizerCalls:
    """Base of the tokenizers: what scripts written for transformers call on them."""

    model_max_length: int
    _pad: int
    _tokenizer: Any

    @abstractmethod
    def tokenize_rows(self, prompts: Sequence[str]) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """Return ids and mask [B, L] of rows that are cut and padded to `model_max_length`."""

    @abstractmethod
    def _whole(self, text: str, special: bool) -> list[int]:
        """Return all ids of a text, with the tokens that begin and end it where `special` is."""

    def __call__(
        self,
        text: str | Sequence[str],
        padding: bool | str | None = None,
        truncation: bool | None = None,
        max_length: int | None = None,
        return_tensors: str | None = None,
        add_special_tokens: bool = True,
        **options: Any,
    ) -> TokenBatch:
        """Tokenize a text or several.

        A list of texts alone gives what the text encoder reads: int32 ids and a boolean mask,
        [B, L], cut and padded to `model_max_length`. A single text, or any other argument, gives
        what transformers gives.

        Args:
            text: A text or a list of them.
            padding: `max_length`, `longest` (or True), `do_not_pad` (or False).
            truncation: Whether to cut rows at `max_length`; the last token of a row stays. None
                cuts where `max_length` is given without padding, as transformers does.
            max_length: Tokens of a row; None takes `model_max_length`.
            return_tensors: `pt` for PyTorch's int64 tensors, `np` for int64 arrays; None gives
                lists.
            add_special_tokens: Whether a row has the tokens that begin and end a text.
            **options: Further switches of transformers about what is returned, without an effect.

        Raises:
            InvalidInputError: An argument is unknown, or rows of several lengths cannot be an
                array.
        """
        unknown = sorted(set(options) - set(_IGNORED))
        if unknown:
            raise InvalidInputError(f"the tokenizer does not take {', '.join(unknown)}")
        given = (padding, truncation, max_length, return_tensors)
        texts = [text] if isinstance(text, str) else text
        single = texts is not text
        if not single and given == (None, None, None, None) and add_special_tokens:
            return TokenBatch(*self.tokenize_rows(texts))
        length = self.model_max_length
        if max_length is not None:
            length = positive_int("max_length", max_length)
        rows = [self._whole(one, add_special_tokens) for one in texts]
        if truncation is None:
            truncation = max_length is not None and not padding
        if truncation:
            keep = 1 if add_special_tokens else 0  # the end of the text
            rows = [
                row if len(row) <= length else row[: length - keep] + row[len(row) - keep :]
                for row in rows
            ]
        ids, mask = self._padded(rows, padding, length)
        return _in_form(ids, mask, return_tensors, single)

    def _padded(
        self, rows: list[list[int]], padding: Any, length: int
    ) -> tuple[list[list[int]], list[list[int]]]:
        kind = _PADDINGS.get(padding, padding) if not isinstance(padding, str) else padding
        kind = one_of("padding", kind, ("max_length", "longest", "do_not_pad"))
        widest = max(map(len, rows), default=0)
        width = {"max_length": length, "longest": widest, "do_not_pad": 0}[kind]
        pads = [max(0, width - len(row)) for row in rows]
        pairs = list(zip(rows, pads, strict=True))
        ids = [row + [int(self._pad)] * pad for row, pad in pairs]
        return ids, [[1] * len(row) + [0] * pad for row, pad in pairs]

    def decode(self, token_ids: Any, skip_special_tokens: bool = False, **options: Any) -> str:
        """Return the text of ids.

        Args:
            token_ids: One row of ids: a list, an array or a tensor.
            skip_special_tokens: Leave out the tokens that begin, end and pad a text.
            **options: `clean_up_tokenization_spaces`, which has no effect.
        """
        ids = as_array("token_ids", token_ids).reshape(-1).tolist()
        with library_errors("the model's tokenizer"):
            text = str(self._tokenizer.decode(ids, skip_special_tokens=skip_special_tokens))
        return text.replace("</w>", " ").strip() if "</w>" in text else text  # CLIP's end of a word

    def batch_decode(self, sequences: Any, skip_special_tokens: bool = False) -> list[str]:
        """Return the text of each row of ids; see `decode`."""
        return [self.decode(row, skip_special_tokens) for row in sequences]


def _in_form(
    ids: list[list[int]], mask: list[list[int]], return_tensors: str | None, single: bool
) -> TokenBatch:
    if return_tensors is None:
        return TokenBatch(ids[0], mask[0]) if single else TokenBatch(ids, mask)
    form = one_of("return_tensors", return_tensors, ("pt", "np"))
    if len(set(map(len, ids))) > 1:
        raise InvalidInputError(
            f"return_tensors={form!r}: rows of several lengths are no array; give padding=True"
        )
    arrays = [np.array(rows, np.int64) for rows in (ids, mask)]
    return TokenBatch(*(arrays if form == "np" else map(as_torch, arrays)))
