"""Chooses the files that pictures are written to, and tries their folder, before a model loads."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from kandinsky_core.errors import InvalidInputError
from kandinsky_core.pictures.formats import PictureFormat, picture_format

__all__ = ["OutputPaths", "refuse_existing", "try_folder"]

_SUFFIX = ".png"  # of a picture in a folder


@dataclass(frozen=True)
class OutputPaths:
    """The files of a command's pictures.

    A file that is there is replaced in one case only: it is the one that was named, and
    `overwrite` is set. Files whose names are derived from it, or from a seed, get unused names.

    Attributes:
        folder: The folder of all files.
        named: The file that `--output` names, or None where it names a folder.
        prompts: Number of prompts; with more than one, each name has the number of its prompt.
    """

    folder: Path
    named: Path | None
    prompts: int
    _taken: set[Path] = field(default_factory=set)

    @classmethod
    def choose(
        cls, output: Path | None, seeds: Sequence[int], prompts: int = 1, *, overwrite: bool
    ) -> Self:
        """Check `--output` before a model is loaded.

        Raises:
            InvalidInputError: The file has no suffix of pictures or is there already, or its folder
                cannot be written.
        """
        try:
            return cls._choose(output, seeds, prompts, overwrite)
        except OSError as error:  # a name that is too long, for example
            raise InvalidInputError(f"--output {output}: {error.strerror}") from error

    @classmethod
    def _choose(
        cls, output: Path | None, seeds: Sequence[int], prompts: int, overwrite: bool
    ) -> Self:
        folder = output if output is not None else Path()
        named = output if output is not None and output.suffix and not output.is_dir() else None
        if named is not None:
            picture_format(named, f"--output {output}")
            folder = named.parent
            if len(seeds) == prompts == 1 and not overwrite:
                refuse_existing("--output", named)
        found = cls(folder, named, prompts)
        found._names(seeds, 0)[0].exists()  # raises where the name is too long
        try_folder(folder)
        return found

    @property
    def form(self) -> PictureFormat:
        """The format of all files."""
        return picture_format(self.named or f"a{_SUFFIX}")

    @property
    def preview(self) -> Path:
        """The file beside the pictures that shows them while they are made."""
        name = self.named or Path(f"kandinsky{_SUFFIX}")
        return self.folder / f"{name.stem}.preview{name.suffix}"

    def of_prompt(self, index: int, seeds: Sequence[int]) -> list[Path]:
        """Return the file of each picture of a prompt; no other prompt gets one of them."""
        names = self._names(seeds, index)
        return names if names == [self.named] else [self.unused(name) for name in names]

    def unused(self, path: Path) -> Path:
        """Return a path, with a number where it is there already or was given out before."""
        candidate, number = path, 2
        while candidate in self._taken or candidate.exists():
            candidate = path.with_stem(f"{path.stem}-{number}")
            number += 1
        self._taken.add(candidate)
        return candidate

    def _names(self, seeds: Sequence[int], index: int) -> list[Path]:
        """Return the names that a prompt's pictures get where none is taken."""
        stem = "kandinsky" if self.named is None else self.named.stem
        suffix = _SUFFIX if self.named is None else self.named.suffix
        if self.prompts > 1:
            stem += f"-{index + 1:0{len(str(self.prompts))}}"
        if self.named is not None and len(seeds) == 1:
            return [self.folder / f"{stem}{suffix}"]
        return [self.folder / f"{stem}-{seed}{suffix}" for seed in seeds]


def refuse_existing(flag: str, path: Path) -> None:
    """Refuse a file that is there and would be replaced.

    Raises:
        InvalidInputError: There is such a file.
    """
    if path.exists():
        raise InvalidInputError(
            f"{flag} {path}: there is such a file; give another name, or --overwrite to replace it"
        )


def try_folder(folder: Path) -> None:
    """Refuse a folder in which no file can be made; permissions alone do not tell (`/proc`).

    Raises:
        InvalidInputError: There is such a folder.
    """
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    problem = None if existing.is_dir() else "it is a file"
    if problem is None:
        try:
            with tempfile.TemporaryFile(dir=existing):  # without a name, where that is possible
                pass
        except OSError as error:
            problem = error.strerror
    if problem is not None:
        raise InvalidInputError(
            f"--output: {existing} is no folder that can be written ({problem})"
        )
