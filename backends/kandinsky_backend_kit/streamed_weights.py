"""What text encoders that read their files block by block have in common on all backends."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kandinsky_backend_kit.t5_parts import T5Parts
from kandinsky_core.arrays import Array
from kandinsky_core.checkpoints.saved_network import SavedNetwork
from kandinsky_core.seam.stored_dtypes import BY_NAME
from kandinsky_core.seam.tensors import ComponentSource
from kandinsky_core.seam.without_weights import WithoutWeights

__all__ = ["StreamedWeights"]


class StreamedWeights(WithoutWeights, SavedNetwork):
    """Base of an encoder without weights of its own; it is saved from its files.

    Attributes:
        dtype: Name of the dtype that the encoder computes in.
    """

    dtype: str = "float32"
    _parts: T5Parts

    def remember(self, source: ComponentSource) -> None:
        """Keep what the files of the encoder hold besides its weights, to save it later."""
        self.keep(source.config, self._parts.tensors)

    def weight_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """See `kandinsky_core.checkpoints.saved_network.SavedNetwork.weight_shapes`."""
        tensors = self._parts.tensors
        return {name: tensors.spec(name)[0] for name in tensors.names()}

    def weights_now(self, names: Iterable[str]) -> Mapping[str, Array]:
        """See `kandinsky_core.checkpoints.saved_network.SavedNetwork.weights_now`."""
        dtype = BY_NAME[self.dtype].numpy
        return {name: self._parts.tensors.read(name).astype(dtype) for name in names}
