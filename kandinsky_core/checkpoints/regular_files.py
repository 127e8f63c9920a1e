"""Opens files from outside: only regular ones, and in the state in which they were known before.

A pipe or a device in place of a file would make its reader wait for ever, or have an effect.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

import numpy as np

from kandinsky_core.arrays import Array
from kandinsky_core.checkpoints.file_identity import FileIdentity, identity_of
from kandinsky_core.errors import CheckpointError

__all__ = ["map_regular", "open_regular"]

# Without O_NONBLOCK a pipe that takes the file's place between check and opening would block.
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def open_regular(path: Path) -> BinaryIO:
    """Open a file for reading, which the caller closes.

    Raises:
        CheckpointError: It is a folder, pipe, device or socket. None of these is opened.
        OSError: It is missing, or must not be read.
    """
    _check(path, path.stat())
    file = os.fdopen(os.open(path, _FLAGS), "rb")
    try:
        _check(path, os.fstat(file.fileno()))
    except CheckpointError:
        file.close()
        raise
    return file


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


def _check(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise CheckpointError(f"{path} is no regular file: give the path of a file of weights")
