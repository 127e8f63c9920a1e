"""Where a tokenizer's files are found, and how they are saved: by copying them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

from kandinsky_core.budgets import TOKENIZER_BYTES
from kandinsky_core.checkpoints.file_identity import FileIdentity, file_identity
from kandinsky_core.checkpoints.hub import HubOptions, resolve_component
from kandinsky_core.checkpoints.inside import inside
from kandinsky_core.checkpoints.regular_files import read_bounded
from kandinsky_core.checkpoints.saved_folder import check_save_options, saved_folder
from kandinsky_core.errors import CheckpointError

__all__ = ["SavedTokenizer"]

_FILES = (
    "added_tokens.json",
    "merges.txt",
    "sentencepiece.bpe.model",
    "special_tokens_map.json",
    "spiece.model",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
)


class SavedTokenizer:
    """Base of the tokenizers that are read from transformers' files.

    Attributes:
        slow_class: transformers' class without `Fast`.
        slow_file: The file that this class reads, where `tokenizer.json` is the other one's.
        part: The half of an embedded model that has the tokenizer.
    """

    slow_class: ClassVar[str]
    slow_file: ClassVar[str]
    part: ClassVar[str] = "decoder"
    _source: Mapping[Path, FileIdentity | None] | None = None

    @property
    def class_name(self) -> str:
        """The class that `model_index.json` names: one that can read the files that there are."""
        slow = any(path.name == self.slow_file for path in self._source or ())
        return self.slow_class if slow else f"{self.slow_class}Fast"

    @classmethod
    @abstractmethod
    def _read_folder(cls, folder: Path) -> Self:
        """Read a tokenizer from a folder."""

    @classmethod
    def from_pretrained(
        cls, model: str | Path, subfolder: str | None = None, **options: Any
    ) -> Self:
        """Read a tokenizer.

        Args:
            model: A folder, a hub id, or an embedded model's name.
            subfolder: Folder of the tokenizer in the model, `tokenizer` for example.
            **options: `revision`, `cache_dir`, `token`, `local_files_only`, `force_download`.

        Raises:
            ModelNotFoundError: There is no such folder, or the hub cannot deliver it.
            CheckpointError: Files are missing or damaged.
        """
        return cls.in_folder(
            resolve_component(model, subfolder, cls.part, HubOptions.among(options))
        )

    @classmethod
    def in_folder(cls, folder: Path) -> Self:
        """Read a tokenizer from a folder that has been found.

        Raises:
            CheckpointError: Files are missing or damaged.
        """
        made = cls._read_folder(folder)
        files = [path for name in _FILES if (path := inside(folder, name)).exists()]
        made._source = {path: file_identity(path) for path in files}
        return made

    def save_pretrained(
        self, save_directory: str | Path, push_to_hub: bool = False, **others: Any
    ) -> None:
        """Copy the files that the tokenizer was read from.

        Args:
            save_directory: The folder; files of the same names are replaced.
            push_to_hub: Refused.
            **others: Refused.

        Raises:
            CheckpointError: The files have gone or changed since they were read.
            InvalidInputError: The folder cannot be written, or an argument is refused.
        """
        check_save_options(safe_serialization=True, push_to_hub=push_to_hub, others=others)
        contents = {}
        for path, known in (self._source or {}).items():
            if known is None or file_identity(path) != known:
                raise CheckpointError(
                    f"{path} has gone or changed since the tokenizer was read: load it again"
                )
            contents[path.name] = read_bounded(path, TOKENIZER_BYTES)
        if not contents:
            raise CheckpointError("this tokenizer was not read from a folder, so it has no files")
        with saved_folder(save_directory, sum(map(len, contents.values()))) as folder:
            for name, content in contents.items():
                (folder / name).write_bytes(content)
