"""Parses the text in which MindSpore writes a graph down.

An operator takes three lines: its call, the types of its operands and results, and its name with
the cells that it stands in. MindSpore's documentation has an example under "Reading IR".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Node", "Value", "parse"]

_CALL = re.compile(r"^ +%\S+ = (?:call )?(?:PrimFunc_)?(@?\w+)\((.*)$")
_TYPES = re.compile(r"^ +: \((.*)\) -> \((.*)\)$")
_SCOPE = re.compile(r"^ +# (?:Fullname with scope|Scope): \((.*)\)$")
_PARAMETER = re.compile(r"^ +%(\d+)\(.*?\) = Load\(%para\d+_(\S+?), ")
_OPERAND = re.compile(r"%(\d+)")
_TENSOR = re.compile(r"Tensor\[(\w+)\]\]?(?:, \(([\d, -]*)\))?")


@dataclass(frozen=True, slots=True)
class Value:
    """A tensor that an operator takes or gives.

    Attributes:
        kind: Its dtype as MindSpore writes it, `Float16` for example.
        shape: Its shape; None where the text does not give it beside the dtype.
    """

    kind: str
    shape: tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class Node:
    """An operator of a graph.

    Attributes:
        operator: Its name; one that begins with @ is another graph, which is called.
        text: The text of its operands, attributes and whatever else stands in its line.
        inputs: The tensors among its operands.
        outputs: The tensors among its results.
        layer: The name of the layer that it belongs to, in the network; empty outside of all. One
            that takes a weight belongs to the weight's layer. For others MindSpore names the cell;
            of cells with the same code that may be the first one.
    """

    operator: str
    text: str
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    layer: str


def parse(text: str) -> list[Node]:
    """Return all operators of a graph, in the order of the text.

    Raises:
        ValueError: The text has no operator.
    """
    found = list(_nodes(text.splitlines()))
    if not found:
        raise ValueError("the text has no operator: it is no graph of MindSpore")
    return found


def _nodes(lines: list[str]) -> Iterator[Node]:
    owners: dict[str, str] = {}  # the layer of each weight, by its number in the text
    for number, line in enumerate(lines):
        if weight := _PARAMETER.match(line):
            owners[weight[1]] = weight[2].rpartition(".")[0]
        call = _CALL.match(line)
        if call is None:
            continue
        inputs: tuple[Value, ...] = ()
        outputs: tuple[Value, ...] = ()
        layer = ""
        for later in lines[number + 1 : number + 4]:
            # A graph with a shape that is not known has a second line, of symbols.
            if not (inputs or outputs) and (types := _TYPES.match(later)):
                inputs, outputs = _values(types[1]), _values(types[2])
            elif scope := _SCOPE.match(later):
                layer = _layer_of(scope[1])
                break
            elif _CALL.match(later):
                break
        own = [owners[operand] for operand in _OPERAND.findall(call[2]) if operand in owners]
        yield Node(call[1], call[2], inputs, outputs, own[0] if own else layer)


def _values(text: str) -> tuple[Value, ...]:
    return tuple(
        Value(kind, None if shape is None else tuple(int(n) for n in shape.split(",") if n.strip()))
        for kind, shape in ((match[1], match[2]) for match in _TENSOR.finditer(text))
    )


def _layer_of(scope: str) -> str:
    """Return `down_blocks.0` for `Default/down_blocks-CellList/0-Block/Conv2D-op1`."""
    cells = scope.split("/")[1:-1]
    return ".".join(cell.partition("-")[0] for cell in cells if "-" in cell)
