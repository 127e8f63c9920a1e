"""A backend of NumPy whose networks hold the weights of their files, and compute nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from kandinsky_backend_kit.replaceable_weights import ReplaceableWeights
from kandinsky_converters.inventory.expected import expected_tensors
from kandinsky_converters.layouts.accounting import account
from kandinsky_core.arrays import Array
from kandinsky_core.configs import NETWORKS
from kandinsky_core.seam.stored_dtypes import BY_NAME
from kandinsky_core.seam.tensors import ComponentSource
from tests.support.fake_backend import FakeBackend

__all__ = ["HoldingBackend", "HoldingNetwork"]


class HoldingNetwork(ReplaceableWeights):
    """Weights by PyTorch's names; `batches` has the bytes that were asked for at once."""

    backend_name = "fake"
    compilations = None
    dtype = "float32"
    device = "cpu"

    def __init__(self, config: Any, weights: dict[str, Array], dtype: str) -> None:
        super().__init__()
        self.config, self.weights, self.dtype = config, weights, dtype
        self.batches: list[int] = []

    def offload(self) -> None:
        """Hold the weights where they are."""

    def weight_shapes(self) -> Mapping[str, tuple[int, ...]]:
        return {name: array.shape for name, array in self.weights.items()}

    def read_weights(self, names: Iterable[str]) -> dict[str, Array]:
        found = {name: self.weights[name].copy() for name in names}
        self.batches.append(sum(array.nbytes for array in found.values()))
        return found

    def _write_weights(self, values: Mapping[str, Array]) -> None:
        dtype = BY_NAME[self.dtype].numpy
        self.weights |= {name: np.asarray(array, dtype) for name, array in values.items()}


class HoldingBackend(FakeBackend):
    """See the module."""

    def load(self, source: ComponentSource, dtype: str, device: str | None = None) -> Any:
        class_name, tensors = source.class_name, source.tensors()
        names = account(class_name, expected_tensors(class_name, source.config), tensors)
        kind = BY_NAME[dtype].numpy
        weights = {name: tensors.read(stored).astype(kind) for stored, name in names.items()}
        config = NETWORKS[class_name].config.from_dict(source.config)
        made = HoldingNetwork(config, weights, dtype)
        made.remember(source)
        return made
