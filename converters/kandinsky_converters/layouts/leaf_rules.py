"""How one parameter of a layer is named and laid out in PyTorch and in a backend, both ways.

Attribute paths of networks differ from the checkpoint's names only in the last part, so these few
rules are the whole mapping. Their keys are the backend's leaf name and rank, which together tell
the kind of layer.
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
    """PyTorch's name of a leaf, and the axes of the PyTorch tensor in the backend's order."""

    torch_leaf: str
    axes: tuple[int, ...] | None = None  # None: the same order

    def to_backend(self, tensor: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return a view of a PyTorch tensor in the backend's layout."""
        return tensor if self.axes is None else tensor.transpose(self.axes)

    def to_torch(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return a view of a backend's array in PyTorch's layout: the inverse of `to_backend`."""
        return array if self.axes is None else array.transpose(np.argsort(self.axes))

    def torch_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape that a backend's array of `shape` has in PyTorch's layout."""
        if self.axes is None:
            return shape
        return tuple(shape[position] for position in np.argsort(self.axes))


@dataclass(frozen=True, slots=True)
class LeafRules:
    """The rules of one backend by leaf name and rank; a leaf without a rule stays as it is."""

    rules: Mapping[tuple[str, int], LeafRule]

    def rule_for(self, leaf: str, rank: int) -> LeafRule:
        """Return the rule for a parameter with this attribute name and number of axes."""
        return self.rules.get((leaf, rank), LeafRule(torch_leaf=leaf))


JAX_RULES = LeafRules(
    {
        ("kernel", 4): LeafRule(torch_leaf="weight", axes=(2, 3, 1, 0)),  # conv OIHW -> HWIO
        ("kernel", 2): LeafRule(torch_leaf="weight", axes=(1, 0)),  # linear [out,in] -> [in,out]
        ("scale", 1): LeafRule(torch_leaf="weight"),  # norms
        ("embedding", 2): LeafRule(torch_leaf="weight"),  # tables of tokens and positions
    }
)

# MindSpore has PyTorch's order of axes. Layers of `mindspore.mint.nn` have PyTorch's names too.
# Layers of the older `mindspore.nn`, from which mindone builds CLIP, have names of their own.
MINDSPORE_RULES = LeafRules(
    {
        ("gamma", 1): LeafRule(torch_leaf="weight"),
        ("beta", 1): LeafRule(torch_leaf="bias"),
        ("embedding_table", 2): LeafRule(torch_leaf="weight"),
    }
)
