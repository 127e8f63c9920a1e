"""Sums up a compiled program by layers: traffic, copies, casts, products and collectives.

XLA's own summary counts the memory on the chip as memory, so the bytes here go by the memory space
of each layout. What is read of a sliced array is the slice. A loop's body counts as often as it
runs, and of a conditional every branch counts once.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, fields

from benchmarks.tpu.compiled_text import Buffer, Computation, Instruction, Program

__all__ = ["LAYER", "Sums", "layer_of", "read", "total", "weight_copies", "wide_products"]

LAYER = "layer:"
"""What stands before a layer's name in the metadata; see `benchmarks.tpu.layer_names`."""

# These make no code, or their bytes count elsewhere.
_FREE = {
    "after-all", "bitcast", "constant", "copy-done", "get-tuple-element", "parameter", "tuple",
    "async-done", "async-update", "all-gather-done", "all-reduce-done", "slice-done",
    "collective-permute-done", "partition-id", "replica-id", "opt-barrier", "domain",
}  # fmt: skip
_COLLECTIVES = ("all-gather", "all-reduce", "all-to-all", "collective-permute", "reduce-scatter")
_MOVES = {"copy", "transpose"}
_KEEPS = {"parameter", "bitcast", "reshape", "tuple", "get-tuple-element", "slice", "convert"}
_SLICES = {"slice", "dynamic-slice"}
_UPDATE = "dynamic-update-slice"
_PRODUCTS = {"convolution", "dot"}
_WEIGHTS = re.compile(r"(weights|arguments\[0\])\[")  # how JAX names the first argument's parts
_SEARCHED = 4  # operations from one without a name to one that has a layer


@dataclass(slots=True)
class Sums:
    """What a layer costs, as the compiler told it.

    Attributes:
        weights: Bytes of arguments that are read from the device's main memory.
        read: Bytes of all else that is read from it.
        written: Bytes that are written to it.
        operations: Operations that run one after the other.
        copies: Those that only move numbers or change their layout on the way.
        broadcasts: Those that only repeat numbers.
        casts: Those that only change the dtype.
        collectives: Those in which devices talk to each other.
        sent: Bytes that collectives give.
        products: Matrix products and convolutions.
        wide: Those whose two factors are float32 or float64.
        cycles: Cycles of the compiler's own model, without waiting for memory.
    """

    weights: float = 0
    read: float = 0
    written: float = 0
    operations: float = 0
    copies: float = 0
    broadcasts: float = 0
    casts: float = 0
    collectives: float = 0
    sent: float = 0
    products: float = 0
    wide: float = 0
    cycles: float = 0

    @property
    def traffic(self) -> float:
        """Bytes that go over the main memory."""
        return self.weights + self.read + self.written

    def add(self, other: Sums, times: float = 1) -> None:
        """Add another's numbers, so many times."""
        for each in fields(self):
            value = getattr(self, each.name) + times * getattr(other, each.name)
            setattr(self, each.name, value)


def read(program: Program, depth: int = 0) -> dict[str, Sums]:
    """Sum up a program by layers; those of no layer are under an empty name.

    Args:
        program: What `parse` gave.
        depth: How many parts of a layer's name count, all of them if 0.
    """
    found: dict[str, Sums] = defaultdict(Sums)
    reader = _Reader(program)
    for instruction, computation, times in reader.executed(program.entry):
        layer = ".".join(reader.layer(instruction, computation).split(".")[: depth or None])
        found[layer].add(reader.sums(instruction, computation), times)
    return dict(found)


def total(layers: dict[str, Sums]) -> Sums:
    """Add up all layers."""
    whole = Sums()
    for sums in layers.values():
        whole.add(sums)
    return whole


def layer_of(op_name: str) -> str:
    """Return the innermost layer that an operation was traced in."""
    *_, last = ["", *re.findall(rf"{LAYER}([\w.]+)", op_name)]
    return last


def weight_copies(program: Program) -> list[str]:
    """Return the weights of two axes and more that are moved, cast or laid out anew.

    To bring one to the memory on the chip as it is, is no copy.
    """
    reader, found = _Reader(program), []
    for instruction, computation, _ in reader.executed(program.entry):
        if reader.moves(instruction, computation) or reader.casts(instruction):
            found += [
                argument.op_name
                for operand in instruction.operands
                if (argument := reader.argument(operand, computation))
                and _WEIGHTS.match(argument.op_name)
                and len(argument.buffers[0].shape) > 1
            ]
    return found


def wide_products(program: Program) -> list[str]:
    """Return what each product of two float32 or float64 factors was traced from."""
    reader = _Reader(program)
    return [
        product.op_name or product.name
        for instruction, computation, _ in reader.executed(program.entry)
        for product, own in reader.products(instruction, computation)
        if _wide(product, own)
    ]


@dataclass(slots=True)
class _Reader:
    program: Program
    _first_users: dict[int, dict[str, Instruction]] = field(default_factory=dict)

    def executed(
        self, name: str, times: float = 1
    ) -> Iterator[tuple[Instruction, Computation, float]]:
        """Every operation that runs, and how often; what is fused runs within its fusion."""
        computation = self.program.computations[name]
        for instruction in computation.values():
            if instruction.opcode in ("while", "conditional", "call"):
                again = times * self._trips(instruction)
                for called in instruction.called:
                    yield from self.executed(called, again)
            elif instruction.opcode not in _FREE:
                yield instruction, computation, times

    def layer(self, instruction: Instruction, computation: Computation) -> str:
        """Return an operation's layer; what has no name of its own belongs to its first user."""
        for _ in range(_SEARCHED):
            found = layer_of(instruction.op_name)
            user = self._users(computation).get(instruction.name)
            if found or user is None:
                break
            instruction = user
        return found

    def _users(self, computation: Computation) -> Computation:
        users = self._first_users.setdefault(id(computation), {})
        if not users:
            for instruction in computation.values():
                for operand in instruction.operands:
                    users.setdefault(operand, instruction)
        return users

    def sums(self, instruction: Instruction, computation: Computation) -> Sums:
        """Sum up one operation."""
        weights, others = self._reads(instruction, computation)
        products = list(self.products(instruction, computation))
        collective = instruction.opcode.removesuffix("-start") in _COLLECTIVES
        made = _made(instruction)
        return Sums(
            weights=weights,
            read=others,
            written=self._written(instruction),
            operations=1,
            copies=self.moves(instruction, computation),
            broadcasts=instruction.opcode == "broadcast",
            casts=self.casts(instruction),
            collectives=collective,
            sent=sum(buffer.size for buffer in made) if collective else 0,
            products=len(products),
            wide=sum(_wide(product, own) for product, own in products),
            cycles=instruction.cycles,
        )

    def moves(self, instruction: Instruction, computation: Computation) -> bool:
        """Whether an operation only moves numbers, to another layout or another place."""
        if instruction.opcode == "copy-start":
            target, source = instruction.buffers[:2]
            return (target.order, target.tile) != (source.order, source.tile)
        return self._only(instruction, _MOVES)

    def casts(self, instruction: Instruction) -> bool:
        """Whether an operation only changes the dtype."""
        return self._only(instruction, {"convert"})

    def products(
        self, instruction: Instruction, computation: Computation
    ) -> Iterator[tuple[Instruction, Computation]]:
        """The products of an operation, and the computations that they are in."""
        if instruction.opcode in _PRODUCTS:
            yield instruction, computation
        for called in instruction.called:
            inner = self.program.computations.get(called, {})
            for each in inner.values():
                yield from self.products(each, inner)

    def argument(self, name: str, computation: Computation) -> Instruction | None:
        """Return the program's argument that a name stands for, perhaps on the chip, or None."""
        while instruction := computation.get(name):
            if instruction.opcode == "parameter":
                entry = computation is self.program.computations[self.program.entry]
                return instruction if entry else None
            passed = {"bitcast", "copy-start", "copy-done", "get-tuple-element", "reshape"}
            if instruction.opcode not in passed or not instruction.operands:
                return None
            name = instruction.operands[0]
        return None

    def _trips(self, instruction: Instruction) -> float:
        """Return how often a loop runs: what its condition compares a counter with."""
        if instruction.opcode != "while":
            return 1
        found = re.search(r'"known_trip_count":\{"n":"(\d+)"', instruction.attributes)
        if found:
            return float(found[1])
        limits = [
            int(number[0])
            for called in instruction.called
            if (condition := self.program.computations[called])
            and next(reversed(condition.values())).buffers[0].dtype == "pred"
            for each in condition.values()
            if each.opcode == "constant" and (number := re.match(r"\d+", each.attributes))
        ]
        return max(limits, default=1)

    def _written(self, instruction: Instruction) -> float:
        """Return the bytes that an operation writes to the main memory."""
        made = _made(instruction)
        inner = self._inner(instruction) if instruction.opcode == "fusion" else {}
        updates = [each for each in inner.values() if each.opcode == _UPDATE]
        if updates and len(made) == 1:  # the rest of the array stays as it is
            update = inner[updates[0].operands[1]].buffers[0]
            return min(made[0].size, update.size) if made[0].space == 0 else 0
        return sum(buffer.size for buffer in made if buffer.space == 0)

    def _only(self, instruction: Instruction, opcodes: set[str]) -> bool:
        if instruction.opcode != "fusion":
            return instruction.opcode in opcodes
        inner = {each.opcode for each in self._inner(instruction).values()}
        return bool(inner & opcodes) and inner <= opcodes | _KEEPS - {"convert"}

    def _inner(self, instruction: Instruction) -> Computation:
        return self.program.computations[instruction.called[0]]

    def _reads(self, instruction: Instruction, computation: Computation) -> tuple[float, float]:
        """Return the bytes that an operation reads of arguments, and of all else."""
        weights = others = 0.0
        for place, name in enumerate(instruction.operands):
            source = computation.get(name)
            if source is None or len(source.buffers) != 1 or source.buffers[0].space != 0:
                continue
            if source.opcode == "constant" and not source.buffers[0].shape:  # a part of the code
                continue
            if name in instruction.operands[:place]:  # what is read twice comes once
                continue
            size = self._part(instruction, place, source.buffers[0])
            if self.argument(name, computation):
                weights += size
            else:
                others += size
        return weights, others

    def _part(self, instruction: Instruction, place: int, buffer: Buffer) -> float:
        """Return the bytes that are read of an operand."""
        if instruction.opcode in _SLICES | {"slice-start"}:
            return sum(made.size for made in _made(instruction))
        if instruction.opcode != "fusion":
            return buffer.size
        inner = self._inner(instruction)
        own = next(
            each
            for each in inner.values()
            if each.opcode == "parameter" and re.match(rf"{place}\b", each.attributes)
        )
        uses = [each for each in inner.values() if own.name in each.operands]
        if uses and all(each.opcode in _SLICES for each in uses):
            return min(buffer.size, sum(each.buffers[0].size for each in uses))
        if uses and all(each.opcode == _UPDATE and each.operands[0] == own.name for each in uses):
            return 0
        return buffer.size


def _made(instruction: Instruction) -> tuple[Buffer, ...]:
    """Return the arrays that an operation writes; one that only starts names its inputs too."""
    if instruction.opcode == "copy-start":
        return instruction.buffers[:1]
    if instruction.opcode.endswith("-start"):
        return tuple(each for each in instruction.buffers[1:2])
    return instruction.buffers


def _wide(product: Instruction, computation: Computation) -> bool:
    factors = [computation[name] for name in product.operands if name in computation]
    return len(factors) > 1 and all(
        factor.buffers and factor.buffers[0].dtype in ("f32", "f64") for factor in factors[:2]
    )
