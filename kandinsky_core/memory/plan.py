"""How much memory a pipeline's weights take, worked out from the headers of their files."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

from kandinsky_core.configs.networks import NETWORKS, tied_tensors, unused_tensors
from kandinsky_core.seam.dtypes import component_dtype
from kandinsky_core.seam.quantization import EightBitsRule, in_eight_bits
from kandinsky_core.seam.stored_dtypes import BY_NAME, STORED
from kandinsky_core.seam.tensors import ComponentSource, Tensors

__all__ = ["ComponentMemory", "EightBits", "MemoryPlan", "readable_size", "stored_size"]

_STEP = 4  # bytes of a channel's step, which is float32

# The last part of a name in files converted for JAX or MindSpore -> PyTorch's name for it.
_LEAVES = {
    "beta": "bias",
    "embedding": "weight",
    "embedding_table": "weight",
    "gamma": "weight",
    "kernel": "weight",
    "scale": "weight",
}


@dataclass(frozen=True, slots=True)
class EightBits:
    """The weights of a network, or of a block, that are kept in 8 bits where that is asked for.

    Attributes:
        parameters: Count of their numbers.
        channels: Count of their channels, each of which has a step.
    """

    parameters: int = 0
    channels: int = 0

    def __add__(self, other: EightBits) -> EightBits:
        return EightBits(self.parameters + other.parameters, self.channels + other.channels)

    def size_among(self, parameters: int, dtype: str) -> int:
        """Return the bytes of a network of so many numbers, the others of which have a dtype."""
        others = (parameters - self.parameters) * BY_NAME[dtype].size
        return others + self.parameters + self.channels * _STEP


_NONE = EightBits()


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentMemory:
    """The memory that the weights of one network take.

    Attributes:
        name: The component's name.
        class_name: The network's class.
        dtype: Dtype that the network computes in; its weights are kept in it.
        parameters: Count of the numbers in all its weights.
        block_parameters: Count of the numbers in its largest block; None where the network cannot
            be read block by block.
        quantize: How weights are kept that need not be kept in the dtype; None keeps all in it.
        eight_bits: The weights that are kept in 8 bits where `quantize` asks for it.
        block_eight_bits: Those of the largest block.
    """

    name: str
    class_name: str
    dtype: str
    parameters: int
    block_parameters: int | None = None
    quantize: str | None = None
    eight_bits: EightBits = _NONE
    block_eight_bits: EightBits = _NONE

    @classmethod
    def of(
        cls,
        name: str,
        source: ComponentSource,
        dtype: str,
        quantize: str | None = None,
        rule: EightBitsRule = in_eight_bits,
    ) -> ComponentMemory:
        """Work out from the headers of a component's files how much memory it takes.

        Args:
            name: The component's name.
            source: The component.
            dtype: Dtype that its pipeline is asked for.
            quantize: How its weights are kept; a network that cannot be kept so is kept in `dtype`.
            rule: Which tensors are then in 8 bits.

        Raises:
            CheckpointError: The files are missing or damaged.
        """
        pattern = NETWORKS[source.class_name].blocks
        counts: Counter[str | None] = Counter()
        small: dict[str | None, EightBits] = {}
        for tensor, count, channels in _counts(source, rule):
            match = None if pattern is None else pattern.match(tensor)
            for part in {None, match[1] if match else None}:  # the network, and a block of it
                counts[part] += count
                if channels is not None:
                    small[part] = small.get(part, _NONE) + EightBits(count, channels)
        blocks = {part: count for part, count in counts.items() if part is not None}
        largest = max(blocks, key=blocks.__getitem__, default=None)
        return cls(
            name=name,
            class_name=source.class_name,
            dtype=component_dtype(source.class_name, dtype),
            parameters=counts[None],
            block_parameters=None if largest is None else blocks[largest],
            quantize=quantize if small else None,
            eight_bits=small.get(None, _NONE),
            block_eight_bits=_NONE if largest is None else small.get(largest, _NONE),
        )

    @property
    def size(self) -> int:
        """Bytes of all weights."""
        return self._size(self.parameters, self.eight_bits)

    @property
    def block_size(self) -> int | None:
        """Bytes of the largest block; None where the network cannot be read block by block."""
        if self.block_parameters is None:
            return None
        return self._size(self.block_parameters, self.block_eight_bits)

    def _size(self, parameters: int, eight_bits: EightBits) -> int:
        kept = _NONE if self.quantize is None else eight_bits
        return kept.size_among(parameters, self.dtype)

    def in_dtype(self, dtype: str) -> ComponentMemory:
        """Return the same network in a pipeline that is asked for another dtype."""
        return replace(self, dtype=component_dtype(self.class_name, dtype))

    def quantized(self, quantize: str) -> ComponentMemory:
        """Return the same network in a pipeline that is asked for weights in 8 bits."""
        return replace(self, quantize=quantize if self.eight_bits.parameters else None)


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """The memory that all weights on one device take; the memory for computing comes on top.

    Attributes:
        components: The networks on the device.
        loading: When a text encoder that can be read block by block is loaded: see
            `kandinsky_core.memory.on_demand_encoder.LOADINGS`.
        one_at_a_time: Whether a network is on the device only while it is used. A branch is used
            together with its UNet.
    """

    components: tuple[ComponentMemory, ...]
    loading: str = "resident"
    one_at_a_time: bool = False

    @property
    def at_load(self) -> int:
        """Largest number of bytes on the device while the networks are loaded."""
        sizes = [part.size for part in self.components if not self._later(part)]
        return max(sizes, default=0) if self.one_at_a_time else sum(sizes)

    @property
    def ever(self) -> int:
        """Largest number of bytes on the device while the networks are loaded or used."""
        later = [
            part.block_size or 0 if self.loading == "streamed" else part.size
            for part in self.components
            if self._later(part)
        ]
        if self.one_at_a_time:
            return max([self.at_load, self._together, *later])
        return self.at_load + sum(later)

    @property
    def in_blocks(self) -> bool:
        """Whether one of the networks can be read block by block."""
        return any(part.block_size is not None for part in self.components)

    def in_dtype(self, dtype: str) -> MemoryPlan:
        """Return the plan of a pipeline that is asked for another dtype."""
        return replace(self, components=tuple(part.in_dtype(dtype) for part in self.components))

    def quantized(self, quantize: str) -> MemoryPlan:
        """Return the plan of a pipeline that is asked for weights in 8 bits."""
        return replace(self, components=tuple(part.quantized(quantize) for part in self.components))

    @property
    def _together(self) -> int:
        """Bytes of a network and of what runs beside it; 0 where nothing does."""
        found = 0
        for part in self.components:
            host = NETWORKS[part.class_name].beside
            if host is not None:
                found += part.size
                found += sum(
                    one.size for one in self.components if one.class_name == host.CLASS_NAME
                )
        return found

    def _later(self, part: ComponentMemory) -> bool:
        return self.loading != "resident" and part.block_size is not None


def stored_size(tensors: Tensors) -> int:
    """Return the bytes of all values in the files."""
    specs = map(tensors.spec, tensors.names())
    sizes = {code: entry.size for code, entry in STORED.items()}
    return sum(math.prod(shape) * sizes.get(dtype, 1) for shape, dtype in specs)


def readable_size(size: int) -> str:
    """Return a number of bytes in the largest unit that it reaches, `16.2 GiB` for example."""
    if size >= 2**60:  # an integer of any length, which no float may hold
        return f"{size // 2**60} EiB"
    for power, name in enumerate(("PiB", "TiB", "GiB", "MiB", "KiB")):
        unit = 2 ** (50 - 10 * power)
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size} bytes"


def _counts(source: ComponentSource, rule: EightBitsRule) -> Iterator[tuple[str, int, int | None]]:
    """Yield the name of each tensor that becomes a weight, and how many numbers it holds.

    The third value is the number of its channels where it may be kept in 8 bits, else None.
    """
    class_name, tensors = source.class_name, source.tensors()
    unused, twins = unused_tensors(class_name), tied_tensors(class_name)
    names = {_published_name(name): name for name in tensors.names()}
    for published, name in names.items():
        if published not in unused and twins.get(published) not in names:
            shape = tensors.spec(name)[0]
            first = twins.get(published, published)
            small = rule(class_name, first, len(shape))
            # Files for JAX have the outputs of a kernel last, all others have them first.
            channels = shape[-1 if name.endswith(".kernel") else 0] if small else None
            yield published, math.prod(shape), channels


def _published_name(name: str) -> str:
    """Return PyTorch's name for a tensor of a converted file."""
    layer, dot, leaf = name.rpartition(".")
    return f"{layer}{dot}{_LEAVES.get(leaf, leaf)}"
