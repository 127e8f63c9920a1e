"""A table of the tensors of layers, to which inventories add one layer after another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["Config", "LayerTable", "Shape"]

Shape = tuple[int, ...]
Config = Mapping[str, Any]


class LayerTable:
    """A growing table of layers.

    Attributes:
        shapes: The shape of each tensor by its name, in PyTorch's names and layout.
    """

    def __init__(self) -> None:
        self.shapes: dict[str, Shape] = {}

    def table(self, name: str, *shape: int) -> None:
        """Add a tensor by its whole name."""
        self.shapes[name] = shape

    def weight(self, name: str, *shape: int) -> None:
        """Add a layer without bias."""
        self.shapes[f"{name}.weight"] = shape

    def weight_and_bias(self, name: str, *shape: int) -> None:
        """Add a layer whose weight begins with the number of its outputs."""
        self.shapes[f"{name}.weight"] = shape
        self.shapes[f"{name}.bias"] = shape[:1]

    linear = norm = weight_and_bias

    def conv(self, name: str, n_out: int, n_in: int, side: int) -> None:
        """Add a convolution."""
        self.weight_and_bias(name, n_out, n_in, side, side)
