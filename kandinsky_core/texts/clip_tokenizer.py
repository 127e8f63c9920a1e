"""CLIP's byte-pair tokenizer, from the files that transformers saves.

It is built on the `tokenizers` library directly. It gives the same tokens as transformers'
CLIPTokenizerFast (tested), without the two seconds that transformers takes to import.

diffusers 0.39 with transformers 4 loads the slow CLIPTokenizer, which cleans the text first. Its
tokens differ only where the cleaning changes the text. Without ftfy it drops control and invisible
characters (U+0000, U+200B, U+200D, U+FEFF, U+FFFD), sets each CJK ideograph apart, and writes a
final sigma as a final sigma. With ftfy it repairs what ftfy takes for damage (curly quotes,
ligatures, full-width letters). transformers 5 has only the fast tokenizer, and so have we.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from kandinsky_core.budgets import TOKENIZER_BYTES
from kandinsky_core.checkpoints.inside import inside
from kandinsky_core.checkpoints.json_files import parse_json, read_json
from kandinsky_core.checkpoints.regular_files import read_bounded
from kandinsky_core.configs.rules import shown
from kandinsky_core.errors import CheckpointError
from kandinsky_core.files import require_regular
from kandinsky_core.texts.library_errors import LARGEST_ID, checked_ids, library_errors
from kandinsky_core.texts.saved_tokenizer import SavedTokenizer
from kandinsky_core.texts.tokenizer_calls import TokenizerCalls
from kandinsky_core.texts.whole_tokenizer import read_whole_tokenizer

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["CLIPTokenizer", "ClipTokenizer"]

logger = logging.getLogger(__name__)

_USUAL_LENGTH = 77
_NO_LIMIT = 100_000

# How CLIP cuts text before byte pairs: contractions, runs of letters, single digits, runs of signs.
_WORDS = r"""'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"""


class ClipTokenizer(SavedTokenizer, TokenizerCalls):
    """Turns prompts into the token ids that a CLIP text encoder was trained with.

    Attributes:
        model_max_length: Length L of every row, 77 in the published models.
    """

    slow_class: ClassVar[str] = "CLIPTokenizer"
    slow_file: ClassVar[str] = "vocab.json"
    part: ClassVar[str] = "prior"

    def __init__(
        self, tokenizer: Tokenizer, model_max_length: int, *, start: str, end: str, pad: str
    ) -> None:
        self.model_max_length = model_max_length
        ids = [tokenizer.token_to_id(token) for token in (start, end, pad)]
        if None in ids:
            token = (start, end, pad)[ids.index(None)]
            raise CheckpointError(f"the tokenizer's token {token!r} is not in its vocabulary")
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer = tokenizer
        with library_errors("the model's tokenizer"):
            self._start, self._end, self._pad = checked_ids(ids)

    @classmethod
    def _read_folder(cls, folder: Path) -> Self:
        """Read `vocab.json` with `merges.txt`, or `tokenizer.json`, and their settings.

        Raises:
            CheckpointError: Files are missing or damaged.
        """
        file = inside(folder, "tokenizer_config.json")
        settings = read_json(file)
        special = inside(folder, "special_tokens_map.json")
        tokens = {**settings, **(read_json(special) if special.exists() else {})}
        start = _token(file, tokens, "bos_token", "<|startoftext|>")
        end = _token(file, tokens, "eos_token", "<|endoftext|>")
        pad = _token(file, tokens, "pad_token", end)
        length = _row_length(file, settings.get("model_max_length"))
        return cls(_load(folder, start, end), length, start=start, end=end, pad=pad)

    def tokenize_rows(self, prompts: Sequence[str]) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """Tokenize prompts, cutting what is too long (with a warning that names the lost text).

        Returns:
            Token ids [B, L] and the mask [B, L] that is True on tokens and False on padding.
        """
        length = self.model_max_length
        ids = np.full((len(prompts), length), self._pad, np.int32)
        mask = np.zeros(ids.shape, np.bool_)
        for row, prompt in enumerate(prompts):
            # One by one: encode_batch starts threads, and tokenizers warns of them at every fork.
            with library_errors("the model's tokenizer"):
                found = self._tokenizer.encode(prompt, add_special_tokens=False).ids
                kept, lost = found[: length - 2], found[length - 2 :]
                tokens = checked_ids([self._start, *kept, self._end])
                ids[row, : len(tokens)] = tokens
                text = self._tokenizer.decode(lost).replace("</w>", " ").strip()
            if lost:
                logger.warning("the prompt is longer than %d tokens; left out: %r", length, text)
            mask[row, : len(tokens)] = True
        return ids, mask

    def _whole(self, text: str, special: bool) -> list[int]:
        with library_errors("the model's tokenizer"):
            found = self._tokenizer.encode(text, add_special_tokens=False).ids
            return list(checked_ids([self._start, *found, self._end] if special else found))


CLIPTokenizer = ClipTokenizer
"""The name that scripts know from transformers."""


def _load(folder: Path, start: str, end: str) -> Tokenizer:
    vocabulary, merges, whole = (
        inside(folder, name) for name in ("vocab.json", "merges.txt", "tokenizer.json")
    )
    with library_errors(f"the tokenizer in {folder}"):
        if vocabulary.exists() and merges.exists():
            require_regular(merges, TOKENIZER_BYTES)
            _check_vocabulary(vocabulary)
            return _byte_pairs(vocabulary, merges, start, end)
        if whole.exists():
            return read_whole_tokenizer(whole)
    raise CheckpointError(f"{folder} lacks vocab.json with merges.txt, and tokenizer.json")


def _check_vocabulary(file: Path) -> None:
    """Refuse ids that the library would leave out or cut, so that tokens would change silently."""
    found = parse_json(read_bounded(file, TOKENIZER_BYTES).decode())
    numbers = found.values() if isinstance(found, dict) else [None]
    if not all(type(number) is int and 0 <= number <= LARGEST_ID for number in numbers):
        raise CheckpointError(
            f"{file} is no vocabulary: allowed is an object with a whole number from 0 to "
            f"{LARGEST_ID} for each token; fetch it again"
        )


def _byte_pairs(vocabulary: Path, merges: Path, start: str, end: str) -> Tokenizer:
    from tokenizers import (
        AddedToken,
        Regex,
        Tokenizer,
        decoders,
        models,
        normalizers,
        pre_tokenizers,
    )

    model = models.BPE.from_file(
        str(vocabulary), str(merges), unk_token=end, end_of_word_suffix="</w>"
    )
    tokenizer = Tokenizer(model)
    # Special tokens are found after lower-casing, as the published files say (`normalized`). A
    # token that the vocabulary lacks would get a new id here, and the text encoder has no embedding
    # for it.
    known = [token for token in (start, end) if model.token_to_id(token) is not None]
    tokenizer.add_special_tokens([AddedToken(token, normalized=True) for token in known])
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _token(file: Path, settings: Mapping[str, Any], name: str, default: str) -> str:
    """Read a special token, which is stored as text or as an object with `content`."""
    value = settings.get(name)
    if value is None:  # transformers writes null for a token that it does not know
        return default
    text = value.get("content") if isinstance(value, dict) else value
    if not isinstance(text, str):
        raise CheckpointError(
            f"{file} or special_tokens_map.json beside it: {name} is {shown(value)}; allowed: a "
            "text, or an object whose content is a text"
        )
    return text


def _row_length(file: Path, value: Any) -> int:
    """Return how many tokens a row has; 77 where no limit is known."""
    if value is None:
        return _USUAL_LENGTH
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 2:
        raise CheckpointError(
            f"{file}: model_max_length is {shown(value)}; allowed: a whole number above 2"
        )
    # transformers writes a huge number where no limit is known.
    return int(value) if value < _NO_LIMIT else _USUAL_LENGTH
