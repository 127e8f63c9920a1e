"""Keeps the embedding of the all-zero picture for later processes, beside the compiled programs.

A later process needs no image encoder to make a picture from a text; it is the largest network of
Kandinsky 2.2.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import kandinsky_converters
from kandinsky_backend_kit.file_store import FileStore
from kandinsky_backend_kit.source_digest import SourceDigest
from kandinsky_core import checkpoints
from kandinsky_core.arrays import FloatArray
from kandinsky_core.checkpoints.safetensors_files import SafetensorsFiles
from kandinsky_core.seam.tensors import Tensors
from kandinsky_jax.placement.places import OneDevice, Place
from kandinsky_jax.programs.cache import program_store
from kandinsky_jax.programs.description import describe
from kandinsky_jax.programs.surroundings import compiler, sources, tuning
from kandinsky_jax.weights.network_form import NetworkForm

__all__ = ["KeptZeroPicture", "KnownFiles", "kept_zero_picture", "known_files"]

# The code that reads weights; `sources` tells the code that computes with them.
_READING = SourceDigest(
    (Path(kandinsky_converters.__path__[0]) / "layouts", Path(checkpoints.__path__[0]))
)


class KnownFiles:
    """The files of an image encoder, as they were when it was loaded.

    Args:
        tensors: What the encoder is loaded from.
    """

    def __init__(self, tensors: SafetensorsFiles) -> None:
        self.states = tensors.states()
        self._tensors = tensors.again()  # which keeps no file in memory

    def unchanged(self) -> bool:
        """Tell whether they still are what they were."""
        return self.states is not None and self._tensors.states() == self.states


@dataclass(frozen=True, slots=True)
class KeptZeroPicture:
    """The place of one embedding in the store, where it may be or not.

    Attributes:
        store: The store.
        key: The key of all that the embedding is made from.
        files: The image encoder's files.
    """

    store: FileStore
    key: bytes
    files: KnownFiles

    def get(self) -> FloatArray | None:
        """Return the embedding, float32 of [1, projection_dim], or None."""
        content = self.store.get(self.key)
        return None if content is None else np.frombuffer(content, np.float32)[None]

    def put(self, embedding: FloatArray) -> None:
        """Keep a finite embedding, if its files are unchanged and the store is writable."""
        folder = self.store.folder
        writable = os.access(folder, os.W_OK) or not folder.exists()
        if writable and np.isfinite(embedding).all() and self.files.unchanged():
            self.store.put(self.key, embedding.astype(np.float32).tobytes())


def known_files(tensors: Tensors) -> KnownFiles | None:
    """Return what a later process knows again, or None where tensors are not of such files."""
    return KnownFiles(tensors) if isinstance(tensors, SafetensorsFiles) else None


def kept_zero_picture(
    form: NetworkForm, place: Place, files: KnownFiles, pixels: tuple[int, ...]
) -> KeptZeroPicture | None:
    """Return the place of an image encoder's embedding, or None where it is not kept.

    It is kept for one device. Files are known by what the system says of them: to read them through
    takes as long as to encode. The place is another one as soon as the code or a setting is.

    Args:
        form: The image encoder.
        place: Where it lies.
        files: Its files.
        pixels: Shape of the picture.
    """
    store, code, reading = program_store(), sources(), _READING.value()
    if store is None or code is None or reading is None:
        return None
    if not isinstance(place, OneDevice) or files.states is None:
        return None
    made_with = (compiler(place.device), tuning(), code.hex(), reading.hex())
    made_from = (describe(form), pixels, files.states)
    key = hashlib.sha256(repr(("zero picture", made_from, made_with)).encode())
    return KeptZeroPicture(store, key.digest(), files)
