"""Keeps the embedding of the all-zero picture for later processes, beside the compiled programs.

A later process needs no image encoder to make a picture from a text; it is the largest network of
Kandinsky 2.2.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import kandinsky_converters
from kandinsky_backend_kit.file_store import FileStore
from kandinsky_backend_kit.source_digest import SourceDigest
from kandinsky_core import checkpoints
from kandinsky_core.arrays import FloatArray
from kandinsky_core.seam.tensors import Tensors
from kandinsky_jax.placement.places import OneDevice, Place
from kandinsky_jax.programs.cache import program_store
from kandinsky_jax.programs.description import describe
from kandinsky_jax.programs.surroundings import compiler, sources, tuning
from kandinsky_jax.weights.network_form import NetworkForm

__all__ = ["KeptZeroPicture", "kept_zero_picture"]

# The code that reads weights; `sources` tells the code that computes with them.
_READING = SourceDigest(
    (Path(kandinsky_converters.__path__[0]) / "layouts", Path(checkpoints.__path__[0]))
)

_States = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class KeptZeroPicture:
    """The place of one embedding in the store, where it may be or not.

    Attributes:
        pixels: Shape of the picture.
        states: The state of the encoder's files, as they were before they were read.
        states_now: Asks for that state again; None stands for files that were changed.
        store: The store.
        key: The key of all that the embedding is made from.
    """

    pixels: tuple[int, int, int, int]
    states: _States
    states_now: Callable[[], _States | None]
    store: FileStore
    key: bytes

    def get(self) -> FloatArray | None:
        """Return the embedding, float32 of [1, projection_dim], or None."""
        content = self.store.get(self.key)
        return None if content is None else np.frombuffer(content, np.float32)[None]

    def put(self, embedding: FloatArray) -> None:
        """Keep an embedding, unless it is not finite or the files were changed meanwhile."""
        if np.isfinite(embedding).all() and self.states_now() == self.states:
            self.store.put(self.key, embedding.astype(np.float32).tobytes())


def kept_zero_picture(form: NetworkForm, place: Place, tensors: Tensors) -> KeptZeroPicture | None:
    """Return the place of an image encoder's embedding, or None where it is not kept.

    It is kept for files on the disk alone, and for one device. Files are known by what the system
    says of them: to read them through takes as long as to encode.

    Args:
        form: The image encoder.
        place: Where it lies.
        tensors: Its files.
    """
    ask: Callable[[], _States | None] | None = getattr(tensors, "states", None)
    store, code, reading = program_store(), sources(), _READING.value()
    if store is None or code is None or reading is None or ask is None:
        return None
    states = ask()
    if states is None or not isinstance(place, OneDevice):
        return None
    made_with = (compiler(place.device), tuning(), code.hex(), reading.hex())
    key = hashlib.sha256(repr(("zero picture", describe(form), made_with, states)).encode())
    config: Any = form.config
    pixels = (1, config.num_channels, config.image_size, config.image_size)
    return KeptZeroPicture(pixels, states, ask, store, key.digest())
