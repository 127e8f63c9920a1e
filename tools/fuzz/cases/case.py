"""A case: the files of one trial; and a format, which makes cases and reads them."""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, ClassVar

__all__ = [
    "Case",
    "Content",
    "Difference",
    "Fifo",
    "Format",
    "Link",
    "ReferenceRefusesError",
    "seeded",
]


class Difference(Exception):
    """What the library gave differs from what the reference gives, or leads outside."""


class ReferenceRefusesError(Exception):
    """The reference reader refuses a file that the library takes."""


@dataclass(frozen=True, slots=True)
class Link:
    """A symbolic link in place of a file."""

    target: str


@dataclass(frozen=True, slots=True)
class Fifo:
    """A named pipe in place of a file; nobody writes to it."""


Content = bytes | Link | Fifo


@dataclass(frozen=True, slots=True)
class Case:
    """The files of one trial.

    Attributes:
        files: What lies at each path of the case's folder.
        how: What was changed, in words.
        settings: What is given to the reader beside the files.
    """

    files: Mapping[str, Content]
    how: Sequence[str] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write the files into a folder."""
        for name, content in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, Link):
                path.symlink_to(content.target)
            elif isinstance(content, Fifo):
                os.mkfifo(path)
            else:
                path.write_bytes(content)

    def digest(self) -> str:
        """Return a hash of everything in the case, by which two cases are compared."""
        found = hashlib.sha256()
        for name, content in self.files.items():
            found.update(repr((name, content)).encode("utf-8", "backslashreplace"))
        found.update(repr((self.how, self.settings)).encode("utf-8", "backslashreplace"))
        return found.hexdigest()


def seeded(name: str, seed: int) -> Random:
    """Return the random numbers of one case."""
    return Random(f"{name}:{seed}")


class Format(ABC):
    """One format: how its cases are made and read.

    Attributes:
        name: Its name on the command line.
        strict: Whether a file that the reference refuses must be refused here, too.
        memory: Bytes of addresses that a case may take beyond what its process has after imports.
    """

    name: ClassVar[str]
    strict: ClassVar[bool] = False
    memory: ClassVar[int] = 512 << 20

    @abstractmethod
    def warm(self) -> None:
        """Import what reading and comparing need, before memory is measured and limited."""

    @abstractmethod
    def make(self, random: Random) -> Case:
        """Make a case from random numbers alone; no file is read or written."""

    @abstractmethod
    def read(self, case: Case, folder: Path) -> Any:
        """Read the case's files with the library, and return what it gave.

        Raises:
            KandinskyError: The library refused them.
            Difference: What it gave cannot be right.
        """

    def compare(self, found: Any, case: Case, folder: Path) -> None:  # noqa: B027 - may stay empty
        """Compare what the library gave with what the reference gives for the same files.

        Raises:
            Difference: They differ.
            ReferenceRefusesError: The reference refuses the files.
        """
