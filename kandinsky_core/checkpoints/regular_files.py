"""Opens the files of a model: only regular ones, and in the state in which they were known before.

`kandinsky_core.files` says why only regular ones are opened.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

import numpy as np

from kandinsky_core.arrays import Array
from kandinsky_core.checkpoints.file_identity import FileIdentity, identity_of
from kandinsky_core.errors import CheckpointError
from kandinsky_core.files import NotRegularError, read_regular, why_not
from kandinsky_core.files import open_regular as open_any_regular

__all__ = ["map_regular", "open_regular", "read_bounded"]


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


def map_regular(path: Path, known: FileIdentity | None) -> Array:
    """Map a file's bytes copy-on-write, uint8 [size].

    Args:
        path: The file.
        known: Its identity when its header was read; see `file_identity`.

    Raises:
        CheckpointError: It is no regular file, or no longer the one whose header was read.
        OSError: It is missing, or must not be read.
        ValueError: It is empty.
    """
    with open_regular(path) as file:
        found = os.fstat(file.fileno())
        if found.st_size == 0:
            raise ValueError("it is empty")
        if identity_of(found) != known:
            raise CheckpointError(
                f"{path} was replaced or written after its header was read: load the model again"
            )
        return np.asarray(np.memmap(file, np.uint8, mode="c"))
