"""Parses the text of a compiled program: XLA's HLO with layouts, memory spaces and metadata.

The text is what `jax.stages.Compiled.as_text` gives; XLA's own page on layouts explains tiles. Only
what `benchmarks.tpu.reading` needs is read: shapes, layouts, operands and who calls whom.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

__all__ = ["Buffer", "Computation", "Instruction", "Program", "parse"]

_BITS = {"pred": 8, "token": 0, "c64": 64, "c128": 128}  # other names end with their bits
_BUFFER = re.compile(r"(?P<dtype>[a-z]\w*)\[(?P<shape>[\d,<=]*)\](?:\{(?P<layout>[^{}]*)\})?")
_COMPUTATION = re.compile(r"^(?P<entry>ENTRY )?%?(?P<name>[\w.-]+) (?:\(|=).*\{$")
_INSTRUCTION = re.compile(r"^\s+(?P<root>ROOT )?%?(?P<name>[\w.-]+) = (?P<rest>.*)$")
_OPCODE = re.compile(r"\s*(?P<opcode>[a-z][\w-]*)\(")
_CALLERS = (
    "calls|to_apply|body|condition|called_computations|branch_computations|[a-z]+_computation"
)
_CALLED = re.compile(rf"\b(?:{_CALLERS})=(?:\{{(?P<several>[^}}]*)\}}|(?P<one>%?[\w.-]+))")
_SPACE = re.compile(r"S\((\d+)\)")
_TILE = re.compile(r"T\(([\d,]+)\)")


@dataclass(frozen=True, slots=True)
class Buffer:
    """One array of a program.

    Attributes:
        dtype: XLA's name of the dtype: `bf16`, `f32`, ...
        shape: Its shape.
        order: Axes from the one that changes fastest to the slowest.
        tile: The first tile of its layout, or nothing.
        space: Where it lies: 0 is the device's main memory, 1 the memory on the chip.
    """

    dtype: str
    shape: tuple[int, ...]
    order: tuple[int, ...]
    tile: tuple[int, ...]
    space: int

    @property
    def size(self) -> int:
        """Bytes, with what the tiles pad."""
        sides = [self.shape[axis] for axis in self.order]
        for place, side in enumerate(reversed(self.tile)):  # the last number is the fastest axis
            if place < len(sides):
                sides[place] = -(-sides[place] // side) * side
        return math.prod(sides) * _bits(self.dtype) // 8


@dataclass(frozen=True, slots=True)
class Instruction:
    """One operation.

    Attributes:
        name: Its name, which is unique in the program.
        opcode: What it does: `fusion`, `copy`, `convolution`, ...
        buffers: What it makes, a tuple's parts in their order.
        operands: Names of what it reads.
        called: Names of computations that it runs.
        attributes: The rest of its line.
        root: Whether it is the result of its computation.
    """

    name: str
    opcode: str
    buffers: tuple[Buffer, ...]
    operands: tuple[str, ...]
    called: tuple[str, ...]
    attributes: str
    root: bool

    @property
    def op_name(self) -> str:
        """What it was traced from, `jit(step)/layer/add`, or nothing."""
        found = re.search(r'op_name="((?:[^"\\]|\\.)*)"', self.attributes)
        return found[1].replace("\\", "") if found else ""

    @property
    def cycles(self) -> int:
        """Cycles that the compiler's model gives it; 0 where it says nothing."""
        found = re.search(r'"estimated_cycles":"(\d+)"', self.attributes)
        return int(found[1]) if found else 0


Computation = Mapping[str, Instruction]
"""Instructions by their names, in the order in which they run."""


@dataclass(frozen=True, slots=True)
class Program:
    """A compiled program.

    Attributes:
        entry: Name of the computation that runs first.
        computations: All computations by their names.
    """

    entry: str
    computations: Mapping[str, Computation]


def parse(text: str) -> Program:
    """Parse a program.

    Raises:
        ValueError: The text has no entry computation, or a line that is no instruction.
    """
    entry, found, current = "", dict[str, Computation](), dict[str, Instruction]()
    for line in text.splitlines():
        if not line.startswith(" "):
            if started := _COMPUTATION.match(line):
                current = {}
                found[started["name"]] = current
                entry = started["name"] if started["entry"] else entry
            continue
        if matched := _INSTRUCTION.match(line):
            instruction = _instruction(matched)
            current[instruction.name] = instruction
    if not entry:
        raise ValueError("the text is no compiled program: it has no ENTRY computation")
    return Program(entry, found)


def _instruction(line: re.Match[str]) -> Instruction:
    rest = line["rest"]
    end = _closing(rest) if rest.startswith("(") else rest.find(" ")
    opcode = _OPCODE.match(rest, end)
    if opcode is None:
        raise ValueError(f"no instruction of a compiled program: {line[0].strip()[:200]}")
    last = _closing(rest, opcode.end() - 1)
    operands, attributes = rest[opcode.end() : last - 1], rest[last:]
    constant = opcode["opcode"] in ("constant", "parameter", "iota")
    return Instruction(
        name=line["name"],
        opcode=opcode["opcode"],
        buffers=tuple(_buffers(rest[:end])),
        operands=() if constant else tuple(re.findall(r"%([\w.-]+)", operands)),
        called=tuple(_called(attributes)),
        attributes=f"{operands}{attributes}" if constant else attributes,
        root=bool(line["root"]),
    )


def _closing(text: str, start: int = 0) -> int:
    """Return the place behind the bracket that closes the one at `start`."""
    depth = 0
    for place in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[place], 0)
        if depth == 0:
            return place + 1
    raise ValueError(f"a bracket is open in: {text[:200]}")


def _called(attributes: str) -> Iterator[str]:
    for found in _CALLED.finditer(attributes.partition("metadata=")[0]):
        names = (found["several"] or found["one"]).split(",")
        yield from (name.strip().lstrip("%") for name in names)


def _buffers(text: str) -> Iterator[Buffer]:
    for found in _BUFFER.finditer(text):
        yield _buffer(found["dtype"], found["shape"], found["layout"] or "")


@functools.cache
def _buffer(dtype: str, shape: str, layout: str) -> Buffer:
    axes, _, details = layout.partition(":")
    sides = tuple(int(side.strip("<=")) for side in shape.split(",") if side)
    order = tuple(int(axis) for axis in axes.split(",") if axis)
    tile, space = _TILE.search(details), _SPACE.search(details)
    return Buffer(
        dtype,
        sides,
        order or tuple(reversed(range(len(sides)))),
        tuple(int(side) for side in tile[1].split(",")) if tile else (),
        int(space[1]) if space else 0,
    )


def _bits(dtype: str) -> int:
    if dtype in _BITS:
        return _BITS[dtype]
    found = re.match(r"[a-z]+(\d+)", dtype)
    return int(found[1]) if found else 0
