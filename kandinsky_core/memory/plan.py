"""How much memory a pipeline's weights take, worked out from the headers of their files."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

from kandinsky_core.configs.networks import NETWORKS, tied_tensors, unused_tensors
from kandinsky_core.seam.dtypes import component_dtype
from kandinsky_core.seam.stored_dtypes import BY_NAME, STORED
from kandinsky_core.seam.tensors import ComponentSource, Tensors

__all__ = ["ComponentMemory", "MemoryPlan", "readable_size", "stored_size"]

# The last part of a name in files converted for JAX or MindSpore -> PyTorch's name for it.
_LEAVES = {
    "beta": "bias",
    "embedding": "weight",
    "embedding_table": "weight",
    "gamma": "weight",
    "kernel": "weight",
    "scale": "weight",
}


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
    """

    name: str
    class_name: str
    dtype: str
    parameters: int
    block_parameters: int | None = None

    @classmethod
    def of(cls, name: str, source: ComponentSource, dtype: str) -> ComponentMemory:
        """Work out from the headers of a component's files how much memory it takes.

        Args:
            name: The component's name.
            source: The component.
            dtype: Dtype that its pipeline is asked for.

        Raises:
            CheckpointError: The files are missing or damaged.
        """
        counts = dict(_counts(source.class_name, source.tensors()))
        pattern = NETWORKS[source.class_name].blocks
        blocks: Counter[str] = Counter()
        for tensor, count in counts.items():
            if pattern is not None and (match := pattern.match(tensor)):
                blocks[match[1]] += count
        return cls(
            name=name,
            class_name=source.class_name,
            dtype=component_dtype(source.class_name, dtype),
            parameters=sum(counts.values()),
            block_parameters=max(blocks.values(), default=None),
        )

    @property
    def size(self) -> int:
        """Bytes of all weights."""
        return self.parameters * BY_NAME[self.dtype].size

    @property
    def block_size(self) -> int | None:
        """Bytes of the largest block; None where the network cannot be read block by block."""
        return (
            None
            if self.block_parameters is None
            else self.block_parameters * BY_NAME[self.dtype].size
        )

    def in_dtype(self, dtype: str) -> ComponentMemory:
        """Return the same network in a pipeline that is asked for another dtype."""
        return replace(self, dtype=component_dtype(self.class_name, dtype))


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


def _counts(class_name: str, tensors: Tensors) -> Iterator[tuple[str, int]]:
    """Yield the name of each tensor that becomes a weight, and how many numbers it holds."""
    unused, twins = unused_tensors(class_name), tied_tensors(class_name)
    names = {_published_name(name): name for name in tensors.names()}
    for published, name in names.items():
        if published not in unused and twins.get(published) not in names:
            yield published, math.prod(tensors.spec(name)[0])


def _published_name(name: str) -> str:
    """Return PyTorch's name for a tensor of a converted file."""
    layer, dot, leaf = name.rpartition(".")
    return f"{layer}{dot}{_LEAVES.get(leaf, leaf)}"
