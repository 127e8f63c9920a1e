"""How one parameter of a layer is named and laid out in PyTorch and in a backend, both ways.

Attribute paths of networks equal the checkpoint's names but for the last part, so these few rules
are the whole mapping. They key on the backend's leaf name and rank, which together tell the kind
of layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["JAX_RULES", "MINDSPORE_RULES", "LeafRule", "LeafRules"]


@dataclass(frozen=True, kw_only=True, slots=True)
class LeafRule:
    """PyTorch's name of a leaf and the axes of the PyTorch tensor in the backend's order."""

    torch_leaf: str
    axes: tuple[int, ...] | None = None  # none: the same order

    def to_backend(self, tensor: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """A view of a PyTorch tensor in the backend's layout."""
        return tensor if self.axes is None else tensor.transpose(self.axes)

    def to_torch(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The inverse of `to_backend`."""
        return array if self.axes is None else array.transpose(np.argsort(self.axes))

    def torch_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape in PyTorch's layout of a backend array of `shape`."""
        if self.axes is None:
            return shape
        return tuple(shape[position] for position in np.argsort(self.axes))


@dataclass(frozen=True, slots=True)
class LeafRules:
    """The rules of one backend, by leaf name and rank; a leaf that none names stays as it is."""

    rules: Mapping[tuple[str, int], LeafRule]

    def rule_for(self, leaf: str, rank: int) -> LeafRule:
        """The rule for a parameter with this attribute name and number of axes."""
        return self.rules.get((leaf, rank), LeafRule(torch_leaf=leaf))


JAX_RULES = LeafRules(
    {
        ("kernel", 4): LeafRule(torch_leaf="weight", axes=(2, 3, 1, 0)),  # conv OIHW -> HWIO
        ("kernel", 2): LeafRule(torch_leaf="weight", axes=(1, 0)),  # linear [out,in] -> [in,out]
        ("scale", 1): LeafRule(torch_leaf="weight"),  # norms
        ("embedding", 2): LeafRule(torch_leaf="weight"),  # tables of tokens and positions
    }
)

# Layouts are PyTorch's. Layers of `mindspore.mint.nn` have its names too, those of the older
# `mindspore.nn`, of which mindone makes CLIP, have their own.
MINDSPORE_RULES = LeafRules(
    {
        ("gamma", 1): LeafRule(torch_leaf="weight"),
        ("beta", 1): LeafRule(torch_leaf="bias"),
        ("embedding_table", 2): LeafRule(torch_leaf="weight"),
    }
)
