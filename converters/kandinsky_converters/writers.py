"""Writes weight files tensor by tensor, so that at most one tensor is in memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from kandinsky_core.arrays import Array
from kandinsky_core.checkpoints.mindspore_files import encode_header
from kandinsky_core.checkpoints.safetensors_writer import (
    ALIGNMENT,
    HashedFile,
    Specs,
    write_safetensors,
)
from kandinsky_core.seam.stored_dtypes import STORED

__all__ = ["ALIGNMENT", "write_mindspore", "write_safetensors"]

_PIECE = 512 << 20  # bytes; a .ckpt cuts larger tensors into pieces, as MindSpore's own do


def write_mindspore(path: Path, specs: Specs, read: Callable[[str], Array]) -> str:
    """Write a `.ckpt` that `mindspore.load_checkpoint` reads; see `write_safetensors`."""
    with HashedFile(path) as file:
        for name, (shape, dtype) in specs.items():
            values = read(name).reshape(-1).view(np.uint8)
            kind = STORED[dtype].mindspore
            for start in range(0, max(len(values), 1), _PIECE):
                piece = values[start : start + _PIECE]
                file.write(encode_header(name, shape, kind, len(piece)))
                file.write(piece)
    return file.digest
