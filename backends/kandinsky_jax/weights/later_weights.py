"""Weights that are read from their files when a network first uses them."""

from __future__ import annotations

import threading

from kandinsky_core.checkpoints.safetensors_files import SafetensorsFiles
from kandinsky_core.seam.tensors import Tensors
from kandinsky_jax.placement.places import Place, Weights
from kandinsky_jax.programs.made_ready import make_ready
from kandinsky_jax.runtime import at_work
from kandinsky_jax.weights.load import load_weights
from kandinsky_jax.weights.network_form import NetworkForm

__all__ = ["LaterWeights"]


class LaterWeights:
    """Reads weights once, for a network and all of its copies; threads may share it.

    Args:
        form: The network.
        tensors: The checkpoint. A file that is written before it is read is refused.
        place: Where the weights shall lie.
    """

    def __init__(self, form: NetworkForm, tensors: Tensors, place: Place) -> None:
        self._form, self._tensors, self._place = form, tensors, place
        self._lock = threading.Lock()
        self._weights: Weights | None = None

    def hold_files(self) -> None:
        """Let files on a disk be renamed, replaced or deleted before they are read.

        Raises:
            CheckpointError: A file is no longer the one whose header was read.
        """
        if isinstance(self._tensors, SafetensorsFiles):
            self._tensors.hold()

    def read(self) -> Weights:
        """Return the weights, and make the programs ready that the network ran last.

        Raises:
            CheckpointError: See `kandinsky_jax.weights.load.load_weights`.
        """
        with at_work(self._place.name, loading=True), self._lock:
            if self._weights is None:
                make_ready(self._form, self._place)
                self._weights = load_weights(self._form, self._tensors, self._place)
            return self._weights
