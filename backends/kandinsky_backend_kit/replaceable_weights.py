"""Replaces weights of a loaded network for a while, and puts the originals back exactly."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping

import numpy as np

from kandinsky_converters.layouts.layouts import with_layout
from kandinsky_core.arrays import Array
from kandinsky_core.checkpoints.saved_network import SavedNetwork
from kandinsky_core.seam.network_calls import NetworkCalls
from kandinsky_core.seam.quantization import refuse_if_quantized
from kandinsky_core.seam.tensors import ComponentSource

__all__ = ["ReplaceableWeights"]


class ReplaceableWeights(SavedNetwork, NetworkCalls):
    """Base of each backend's networks: it keeps the originals, a subclass reads and writes."""

    def __init__(self) -> None:
        self._originals: dict[str, Array] = {}

    @abstractmethod
    def read_weights(self, names: Iterable[str]) -> dict[str, Array]:
        """Return copies of weights by PyTorch's names, in its layout, in the network's dtype.

        Raises:
            KeyError: The network has no such weights; the error holds all their names.
        """

    def remember(self, source: ComponentSource) -> None:
        """Keep what the files of the network hold besides its weights, to save it later."""
        self.keep(source.config, with_layout(source.tensors(), "diffusers"))

    def weights_now(self, names: Iterable[str]) -> Mapping[str, Array]:
        """See `kandinsky_core.checkpoints.saved_network.SavedNetwork.weights_now`."""
        return self.read_weights(names)

    @abstractmethod
    def _write_weights(self, values: Mapping[str, Array]) -> None:
        """Replace weights, casting to the network's dtype."""

    def original_weights(self, names: Iterable[str]) -> dict[str, Array]:
        """Return weights as they were before `update_weights` replaced them first.

        Args:
            names: PyTorch's names, each once.

        Raises:
            KeyError: The network has no such weights; the error holds all their names.
        """
        wanted = list(names)
        present = self.read_weights([name for name in wanted if name not in self._originals])
        known = {**present, **self._originals}
        return {name: known[name] for name in wanted}

    def update_weights(self, values: Mapping[str, Array], restored: Iterable[str] = ()) -> None:
        """Replace weights, and keep the values that they had at first.

        Args:
            values: New weights by PyTorch's names, in its layout, of any floating dtype.
            restored: Names of replaced weights to put back, in the same writing.

        Raises:
            InvalidInputError: The network keeps its weights in 8 bits.
            KeyError: The network has no such weights.
            ValueError: A new weight has another shape than the network's.
        """
        refuse_if_quantized(self, "other weights")
        present = self.original_weights(values)
        for name, array in values.items():
            if np.shape(array) != present[name].shape:
                raise ValueError(f"{name} is {present[name].shape}, not {np.shape(array)}")
        back = {name: self._originals[name] for name in restored if name not in values}
        kept = {name: array for name, array in self._originals.items() if name not in back}
        self._originals = {**kept, **present}
        if values or back:
            self._write_weights({**back, **values})

    def restore_weights(self) -> None:
        """Put back, bit for bit, the weights that `update_weights` replaced."""
        if self._originals:
            self._write_weights(self._originals)
        self._originals = {}
