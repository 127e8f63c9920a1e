"""Opens the files of a model: only regular ones, and in the state in which they were known before.

`kandinsky_core.files` says why only regular ones are opened.
"""

from __future__ import annotations

import os
import weakref
from pathlib import Path
from typing import BinaryIO

import numpy as np

from kandinsky_core.arrays import Array
from kandinsky_core.checkpoints.file_identity import FileIdentity, identity_of
from kandinsky_core.errors import CheckpointError
from kandinsky_core.files import NotRegularError, read_regular, why_not
from kandinsky_core.files import open_regular as open_any_regular

__all__ = ["MappedFile", "open_regular", "read_bounded"]


def open_regular(path: Path) -> BinaryIO:
    """Open a file of weights for reading, which the caller closes.

    Raises:
        CheckpointError: It is a folder, pipe, device or socket. None of these is opened.
        OSError: It is missing, or must not be read.
    """
    try:
        return open_any_regular(path, limit=None)
    except NotRegularError as error:
        raise CheckpointError(
            f"{path} is {why_not(error).removeprefix('it is ')}: give the path of a file of weights"
        ) from error


def read_bounded(path: Path, limit: int) -> bytes:
    """Read a whole file of at most `limit` bytes.

    Raises:
        CheckpointError: It cannot be read, is no regular file, or has more bytes.
    """
    try:
        return read_regular(path, limit)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {why_not(error)}") from error


class MappedFile:
    """A file of weights, mapped copy-on-write, that must stay what it was when its header was read.

    A window into it costs no memory and outlives it, as it outlives a file that is renamed,
    replaced or deleted. A file that is written or cut is noticed whenever a window is asked for.

    Args:
        path: The file.
        known: Its identity when its header was read; see `file_identity`.

    Attributes:
        size: Bytes of the file.

    Raises:
        CheckpointError: It is no regular file, or no longer the one whose header was read.
        OSError: It is missing, or must not be read.
        ValueError: It is empty.
    """

    def __init__(self, path: Path, known: FileIdentity | None) -> None:
        self._path, self._known = path, known
        with open_regular(path) as file:
            self._descriptor = os.dup(file.fileno())
            weakref.finalize(self, os.close, self._descriptor)
            self.size = os.fstat(self._descriptor).st_size
            if self.size == 0:
                raise ValueError("it is empty")
            self._check()
            self._bytes = np.asarray(np.memmap(file, np.uint8, mode="c"))

    def window(self, start: int, stop: int) -> Array:
        """Return the bytes from `start` to `stop`, uint8.

        Raises:
            CheckpointError: The file was written or cut since its header was read.
        """
        self._check()
        return self._bytes[start:stop]

    def _check(self) -> None:
        if identity_of(os.fstat(self._descriptor)) != self._known:
            raise CheckpointError(
                f"{self._path} was replaced or written after its header was read: load the model "
                "again"
            )
