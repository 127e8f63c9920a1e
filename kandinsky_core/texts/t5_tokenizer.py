"""The tokenizer of Kandinsky 3: T5's, from `tokenizer.json` or from SentencePiece's `spiece.model`.

Prompts are neither cleaned nor put into lower case. A row has 128 tokens: the prompt's tokens, the
end of the text (1), padding (0). The row of an empty prompt is the end of the text and padding.

The published tokenizers have only `spiece.model`, which is read here, and JSON files that add
tokens. The tokens equal those of transformers' slow T5Tokenizer, which the published pipelines name
(tested). So `<extra_id_0>` in a prompt is one token.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from kandinsky_core.checkpoints.inside import inside
from kandinsky_core.errors import CheckpointError
from kandinsky_core.texts.file_tokenizer import FileTokenizer
from kandinsky_core.texts.library_errors import library_errors
from kandinsky_core.texts.sentencepiece_file import (
    CONTROL,
    UNKNOWN,
    USER_DEFINED,
    SentencePieceModel,
)
from kandinsky_core.texts.t5_added_tokens import added_tokens

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["MT5Tokenizer", "T5Tokenizer"]

_END = "</s>"
_PADDING = "<pad>"


class T5Tokenizer(FileTokenizer):
    """The tokenizer of Kandinsky 3; source: transformers' T5Tokenizer and T5TokenizerFast."""

    slow_class: ClassVar[str] = "T5Tokenizer"
    slow_file: ClassVar[str] = "spiece.model"
    LENGTH = 128  # every Kandinsky 3 reads rows of this length; T5's own limit is 512

    @classmethod
    def _read_folder(cls, folder: Path) -> Self:
        """Read `tokenizer.json` or `spiece.model` from a folder.

        Raises:
            CheckpointError: The file is missing or damaged.
        """
        pieces = inside(folder, "spiece.model")
        whole = inside(folder, "tokenizer.json").exists() or not pieces.exists()
        made = cls.read(folder) if whole else _from_pieces(folder, pieces)
        return cls(made, cls.LENGTH, _PADDING)


class MT5Tokenizer(T5Tokenizer):
    """The second tokenizer of Kandinsky 2.0: the same form, of 101 languages; rows of 77 tokens."""

    slow_class: ClassVar[str] = "MT5Tokenizer"
    LENGTH = 77


def _from_pieces(folder: Path, file: Path) -> Tokenizer:
    """Build from `spiece.model` the tokenizer that a `tokenizer.json` would describe.

    Raises:
        CheckpointError: A file is damaged, or is no Unigram model.
    """
    from tokenizers import (
        AddedToken,
        Regex,
        Tokenizer,
        decoders,
        models,
        normalizers,
        pre_tokenizers,
        processors,
    )

    model = SentencePieceModel.read(file)
    ids = {piece.text: index for index, piece in enumerate(model.pieces)}
    if _END not in ids:
        raise CheckpointError(f"{file} has no piece {_END!r}: it is not T5's")
    added = added_tokens(folder, [piece.text for piece in model.pieces])
    with library_errors(file):
        vocabulary = [(piece.text, piece.score) for piece in model.pieces]
        tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=model.unknown))
        steps = [normalizers.Precompiled(model.character_map)] if model.character_map else []
        steps += [normalizers.Replace(Regex(" {2,}"), " "), normalizers.Strip()]
        tokenizer.normalizer = normalizers.Sequence(steps)
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
        tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
        tokenizer.add_tokens(
            [
                AddedToken(piece.text, normalized=False, special=piece.kind != USER_DEFINED)
                for piece in model.pieces
                if piece.kind in (UNKNOWN, CONTROL, USER_DEFINED)
            ]
            + [AddedToken(token, normalized=False) for token in added]
        )
        if tokenizer.get_vocab_size() != len(model.pieces) + len(added):
            raise CheckpointError(f"{folder} adds a token to its tokenizer that has two ids")
        tokenizer.post_processor = processors.TemplateProcessing(
            single=["$A", _END], special_tokens=[(_END, ids[_END])]
        )
    return tokenizer
