"""Counts the operators of a graph: by kind, casts, what only moves, and what is in float32."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from benchmarks.ascend.graph_text import Node

__all__ = ["BOOKKEEPING", "MOVES", "VIEWS", "Sums", "by_layer", "count", "operators_of"]

BOOKKEEPING = frozenset(
    {
        "Depend",
        "ListGetItem",
        "Load",
        "MakeList",
        "MakeTuple",
        "Return",
        "TupleGetItem",
        "UpdateState",
    }
)
"""What stands in a graph and computes nothing: no backend has a kernel for it."""

MOVES = frozenset({"Transpose", "TransposeExt", "TransposeExtView", "TransposeView"})
"""Operators that only bring numbers into another order."""

VIEWS = frozenset({"ExpandDims", "ExpandDimsView", "Flatten", "FlattenExt", "Reshape", "Squeeze"})
"""Operators that give an array another shape; the numbers move only where they lie apart."""

_SLICES = frozenset(
    {
        "Chunk",
        "ChunkView",
        "Narrow",
        "NarrowView",
        "SliceExt",
        "SliceExtView",
        "Split",
        "SplitTensor",
        "SplitTensorView",
        "SplitWithSize",
        "SplitWithSizeView",
        "StridedSlice",
    }
)


@dataclass(slots=True)
class Sums:
    """What a graph, or one layer of it, consists of.

    Attributes:
        operators: How often each operator occurs.
        casts: How many of them only change a dtype.
        transposes: How many only bring numbers into another order.
        reshapes: How many only give an array another shape.
        slices: How many only take a part of an array.
        wide: The layers and operators that compute in float32 and are no cast, once for each time.
    """

    operators: Counter[str] = field(default_factory=Counter)
    casts: int = 0
    transposes: int = 0
    reshapes: int = 0
    slices: int = 0
    wide: list[str] = field(default_factory=list)

    @property
    def kernels(self) -> int:
        """All operators that compute or move numbers; a reshape may be none on a device."""
        return self.operators.total() - self.reshapes


def count(nodes: Iterable[Node]) -> Sums:
    """Count operators; what computes nothing is left out."""
    sums = Sums()
    for node in nodes:
        if node.operator in BOOKKEEPING or node.operator.startswith("@"):
            continue
        sums.operators[node.operator] += 1
        sums.casts += node.operator == "Cast"
        sums.transposes += node.operator in MOVES
        sums.reshapes += node.operator in VIEWS
        sums.slices += node.operator in _SLICES
        wide = any(value.kind == "Float32" for value in node.inputs or node.outputs)
        if wide and node.operator != "Cast":
            sums.wide.append(f"{node.layer or 'outside of all layers'}: {node.operator}")
    return sums


def by_layer(nodes: Iterable[Node], depth: int | None = None) -> dict[str, Sums]:
    """Count each layer by itself; `depth` keeps so many parts of the layers' names."""
    groups: dict[str, list[Node]] = {}
    for node in nodes:
        groups.setdefault(".".join(node.layer.split(".")[:depth]), []).append(node)
    return {layer: count(group) for layer, group in groups.items()}


def operators_of(nodes: Iterable[Node]) -> set[str]:
    """Return the names of all operators for which a backend needs a kernel."""
    return set(count(nodes).operators)
