"""Shows a checkpoint's tensors under the names and axes of PyTorch, JAX or MindSpore.

Names, shapes and the few leaf rules suffice; no network class is needed. `diffusers` is the
published layout: PyTorch's names and the order of PyTorch's axes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from kandinsky_converters.layouts.leaf_rules import JAX_RULES, MINDSPORE_RULES, LeafRules
from kandinsky_core.arrays import Array
from kandinsky_core.errors import CheckpointError
from kandinsky_core.seam.tensors import Tensors

__all__ = ["LAYOUTS", "Relabelled", "layout_of", "native_name", "with_layout"]

LAYOUTS = ("diffusers", "jax", "mindspore")

# Layers whose two-dimensional weight is a table of rows instead of a matrix.
_TABLES = frozenset(
    {
        "embed_tokens",
        "embedding",
        "position_embedding",
        "position_embeddings",
        "relative_attention_bias",
        "shared",
        "token_embedding",
        "token_type_embeddings",
        "word_embeddings",
    }
)
# mindone builds CLIP from `mindspore.nn`, whose leaves have names of their own. It builds all other
# networks, XLM-R too, from `mindspore.mint.nn`, whose names are PyTorch's.
_CLASSIC = ("text_model.", "vision_model.")
_CLASSIC_NORMS = frozenset(
    {
        "final_layer_norm",
        "layer_norm1",
        "layer_norm2",
        "post_layernorm",
        "pre_layrnorm",
    }
)
_RULES: Mapping[str, LeafRules] = {"jax": JAX_RULES, "mindspore": MINDSPORE_RULES}


def layout_of(tensors: Tensors) -> str:
    """Return the layout of weights; weights that name none have PyTorch's."""
    return str(getattr(tensors, "layout", "diffusers"))


def native_name(layout: str, name: str, rank: int) -> str:
    """Return the name that a layout gives to the tensor that PyTorch calls `name`."""
    cell, dot, leaf = name.rpartition(".")
    layer = cell.rpartition(".")[2]
    if layout == "jax" and leaf == "weight":
        leaf = {1: "scale", 2: "embedding" if layer in _TABLES else "kernel", 4: "kernel"}[rank]
    elif layout == "mindspore" and cell.startswith(_CLASSIC):
        if layer in _CLASSIC_NORMS:
            leaf = {"weight": "gamma", "bias": "beta"}[leaf]
        elif layer in _TABLES:
            leaf = "embedding_table"
    return f"{cell}{dot}{leaf}"


@dataclass(frozen=True, slots=True)
class _Place:
    name: str
    axes: tuple[int, ...] | None


class Relabelled:
    """A view of tensors under other names and with other orders of axes; it reads only on request.

    Args:
        tensors: The tensors to view.
        places: For each new name the old name, and the old tensor's axes in the new order.
        layout: The layout that results.
    """

    def __init__(self, tensors: Tensors, places: Mapping[str, _Place], layout: str) -> None:
        self._tensors, self._places, self.layout = tensors, places, layout

    @classmethod
    def renamed(cls, tensors: Tensors, names: Mapping[str, str], layout: str) -> Relabelled:
        """Return a view of some tensors under other names; `names` maps new names to old ones."""
        return cls(tensors, {new: _Place(old, None) for new, old in names.items()}, layout)

    def names(self) -> Iterable[str]:
        """See `Tensors.names`."""
        return self._places.keys()

    def spec(self, name: str) -> tuple[tuple[int, ...], str]:
        """See `Tensors.spec`."""
        place = self._places[name]
        shape, dtype = self._tensors.spec(place.name)
        if place.axes is not None:
            shape = tuple(shape[axis] for axis in place.axes)
        return shape, dtype

    def read(self, name: str) -> Array:
        """See `Tensors.read`; transposed values are a view."""
        place = self._places[name]
        array = self._tensors.read(place.name)
        return array if place.axes is None else array.transpose(place.axes)


def with_layout(tensors: Tensors, layout: str) -> Tensors:
    """Return a view of weights in another layout.

    Args:
        tensors: Weights that say which layout they are in; see `layout_of`.
        layout: One of `LAYOUTS`.

    Raises:
        CheckpointError: Two of the weights have one name in PyTorch's layout.
    """
    given = layout_of(tensors)
    if given == layout:
        return tensors
    if given != "diffusers":
        tensors = Relabelled(tensors, _from_native(tensors, _RULES[given]), "diffusers")
    if layout != "diffusers":
        tensors = Relabelled(tensors, _to_native(tensors, layout), layout)
    return tensors


def _to_native(tensors: Tensors, layout: str) -> dict[str, _Place]:
    places = {}
    for name in tensors.names():
        rank = len(tensors.spec(name)[0])
        native = native_name(layout, name, rank)
        rule = _RULES[layout].rule_for(native.rpartition(".")[2], rank)
        places[native] = _Place(name, rule.axes)
    return places


def _from_native(tensors: Tensors, rules: LeafRules) -> dict[str, _Place]:
    places: dict[str, _Place] = {}
    for name in tensors.names():
        cell, dot, leaf = name.rpartition(".")
        rule = rules.rule_for(leaf, len(tensors.spec(name)[0]))
        axes = None if rule.axes is None else tuple(int(axis) for axis in np.argsort(rule.axes))
        torch_name = f"{cell}{dot}{rule.torch_leaf}"
        if torch_name in places:
            raise CheckpointError(
                f"tensors {places[torch_name].name!r} and {name!r} are both {torch_name!r}: delete "
                "the one that does not belong to this checkpoint"
            )
        places[torch_name] = _Place(name, axes)
    return places
