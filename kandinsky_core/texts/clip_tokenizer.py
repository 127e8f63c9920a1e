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
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kandinsky_core.checkpoints.checkpoint import read_json
from kandinsky_core.errors import CheckpointError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["ClipTokenizer"]

logger = logging.getLogger(__name__)

# How CLIP cuts text before byte pairs: contractions, runs of letters, single digits, runs of signs.
_WORDS = r"""'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"""


class ClipTokenizer:
    """Turns prompts into the token ids that a CLIP text encoder was trained with.

    Attributes:
        model_max_length: Length L of every row, 77 in the published models.
    """

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
        self._start, self._end, self._pad = ids

    @classmethod
    def from_pretrained(cls, folder: Path) -> ClipTokenizer:
        """Read `vocab.json` with `merges.txt`, or `tokenizer.json`, and their settings.

        Raises:
            CheckpointError: Files are missing or damaged.
        """
        settings = read_json(folder / "tokenizer_config.json")
        special = folder / "special_tokens_map.json"
        tokens = {**settings, **(read_json(special) if special.is_file() else {})}
        start = _token(tokens.get("bos_token"), "<|startoftext|>")
        end = _token(tokens.get("eos_token"), "<|endoftext|>")
        length = settings.get("model_max_length", 77)
        # transformers writes a huge number where no limit is known.
        length = length if isinstance(length, int) and 2 < length < 100_000 else 77
        pad = _token(tokens.get("pad_token"), end)
        return cls(_load(folder, start, end), length, start=start, end=end, pad=pad)

    def __call__(self, prompts: Sequence[str]) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """Tokenize prompts, cutting what is too long (with a warning that names the lost text).

        Returns:
            Token ids [B, L] and the mask [B, L] that is True on tokens and False on padding.
        """
        length = self.model_max_length
        ids = np.full((len(prompts), length), self._pad, np.int32)
        mask = np.zeros((len(prompts), length), np.bool_)
        for row, prompt in enumerate(prompts):
            # One by one: encode_batch starts threads, and tokenizers warns of them at every fork.
            found = self._tokenizer.encode(prompt, add_special_tokens=False).ids
            kept, lost = found[: length - 2], found[length - 2 :]
            if lost:
                text = self._tokenizer.decode(lost).replace("</w>", " ").strip()
                logger.warning("the prompt is longer than %d tokens; left out: %r", length, text)
            ids[row, : len(kept) + 2] = [self._start, *kept, self._end]
            mask[row, : len(kept) + 2] = True
        return ids, mask


def _load(folder: Path, start: str, end: str) -> Tokenizer:
    from tokenizers import Tokenizer

    vocabulary, merges, whole = (
        folder / name for name in ("vocab.json", "merges.txt", "tokenizer.json")
    )
    try:
        if vocabulary.is_file() and merges.is_file():
            return _byte_pairs(vocabulary, merges, start, end)
        if whole.is_file():
            return Tokenizer.from_file(str(whole))
    except Exception as error:  # the library raises bare Exception
        raise CheckpointError(f"the tokenizer in {folder} cannot be read: {error}") from error
    raise CheckpointError(f"{folder} lacks vocab.json with merges.txt, and tokenizer.json")


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


def _token(value: Any, default: str) -> str:
    """Read a special token, which is stored as text or as an object with `content`."""
    if isinstance(value, dict):
        value = value.get("content")
    return value if isinstance(value, str) else default
