"""T5 that is in memory only while it encodes, whole or block by block."""

from __future__ import annotations

import gc
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any, Self

import numpy as np

from kandinsky_core.arrays import Array, FloatArray
from kandinsky_core.seam.compilations import CompilationLog
from kandinsky_core.seam.compile_only import compiling_only
from kandinsky_core.seam.networks import T5TextEncoder
from kandinsky_core.seam.without_weights import WithoutWeights

__all__ = ["LOADINGS", "OnDemandTextEncoder"]

LOADINGS = ("on_demand", "resident", "streamed")
"""When a text encoder is loaded: for each new text, with the pipeline, or block by block."""

_REMEMBERED = 16  # texts; the states of one take 2 MB


class OnDemandTextEncoder(WithoutWeights):
    """A `kandinsky_core.seam.networks.T5TextEncoder` that is loaded by `encode` and then dropped.

    It remembers the texts that it encoded last, so that a prompt is not encoded anew for every
    seed.

    Args:
        streamed: The encoder that reads its files block by block; it has checked them.
        load: Loads the whole encoder, given dtype and device; None encodes with `streamed`.
    """

    def __init__(
        self, streamed: T5TextEncoder, load: Callable[[str, str], T5TextEncoder] | None
    ) -> None:
        self.config = streamed.config
        self.backend_name = streamed.backend_name
        self._streamed = streamed
        self._load = load
        self._states: OrderedDict[bytes, FloatArray] = OrderedDict()

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        made = super().__deepcopy__(memo)
        made._streamed, made._states = deepcopy(self._streamed, memo), self._states.copy()
        return made

    @property
    def dtype(self) -> str:
        """Name of the dtype that the encoder computes in."""
        return self._streamed.dtype

    @property
    def quantize(self) -> str | None:
        """How the encoder keeps weights in 8 bits; None where it keeps all in its dtype."""
        return getattr(self._streamed, "quantize", None)

    @property
    def device(self) -> str:
        """Name of the device that the encoder runs on."""
        return self._streamed.device

    @property
    def compilations(self) -> CompilationLog | None:
        """See `kandinsky_core.seam.networks.Network.compilations`."""
        return self._streamed.compilations

    def move(self, *, device: str | None = None, dtype: str | None = None) -> None:
        """See `kandinsky_core.seam.networks.Network.to`; it takes effect with the next text."""
        self._streamed.to(device=device, dtype=dtype)
        self._states.clear()

    def weight_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """See `kandinsky_core.seam.networks.Network.weight_shapes`."""
        return self._streamed.weight_shapes()

    def weights_now(self, names: Iterable[str]) -> Mapping[str, Array]:
        """Return copies of weights; they are read from the files."""
        return self._streamed.weights_now(names)

    def save_pretrained(self, save_directory: str | Path, **options: Any) -> None:
        """See `kandinsky_core.checkpoints.saved_network.SavedNetwork.save_pretrained`."""
        self._streamed.save_pretrained(save_directory, **options)

    def saved_size(self) -> int:
        """See `kandinsky_core.checkpoints.saved_network.SavedNetwork.saved_size`."""
        return self._streamed.saved_size()

    def encode(self, input_ids: Array, attention_mask: Array) -> FloatArray:
        """See `kandinsky_core.seam.networks.T5TextEncoder.encode`."""
        if compiling_only():  # the states are zeros: neither remember them nor look any up
            return np.asarray(self._encode(input_ids, attention_mask))
        keys = [
            ids.tobytes() + mask.tobytes()
            for ids, mask in zip(input_ids, attention_mask, strict=True)
        ]
        new = {key: row for row, key in enumerate(keys) if key not in self._states}
        rows = list(new.values())
        found = dict(zip(new, self._encode(input_ids[rows], attention_mask[rows]), strict=True))
        states = np.stack([found[key] if key in found else self._states[key] for key in keys])
        for key, row in zip(keys, states, strict=True):
            self._states[key] = row
            self._states.move_to_end(key)
        while len(self._states) > _REMEMBERED:
            self._states.popitem(last=False)
        return states

    def _encode(self, input_ids: Array, attention_mask: Array) -> Any:
        if not len(input_ids):
            return []
        if self._load is None:
            return self._streamed.encode(input_ids, attention_mask)
        encoder = self._load(self.dtype, self.device)
        try:
            return encoder.encode(input_ids, attention_mask)
        finally:
            del encoder
            gc.collect()  # networks may hold references to themselves, which only this frees
