"""Which generator draws the noise of which picture.

A single generator draws the noise of a whole batch at once, as in diffusers. A list of generators
holds one for each picture: then every picture gets the noise that it would get alone, whatever the
batch.
"""

from __future__ import annotations

import secrets
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kandinsky_core.arrays import FloatArray
from kandinsky_core.denoising.generator import STATE_BYTES, Generator
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.memory.call_size import Need, host, require_room_for_call

__all__ = ["SeededGenerators", "as_generators", "draw_normal", "require_room_for_generators"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SeededGenerators:
    """The generators of one call, and the seeds to record with its pictures.

    Attributes:
        generators: One for the whole batch, or a tuple with one for each picture.
        seeds: Seed of each generator: one, or one for each picture.
        fresh: Whether each generator began at its seed. If not, the seed alone does not repeat the
            picture.
    """

    generators: Generator | tuple[Generator, ...]
    seeds: tuple[int, ...]
    fresh: bool


class _TorchGenerator(Generator):
    """Wraps a PyTorch CPU generator: PyTorch draws, so its state moves on for its owner too."""

    def __init__(self, generator: Any) -> None:
        self._torch = sys.modules["torch"]  # it is loaded, or there would be no such generator
        self._generator = generator
        self.fresh = False  # its owner may have drawn from it

    def initial_seed(self) -> int:
        """Return the seed that the generator was started with."""
        return int(self._generator.initial_seed())

    def randn(self, shape: int | Sequence[int]) -> FloatArray:
        """Draw with PyTorch."""
        sizes = (shape,) if isinstance(shape, int) else tuple(shape)
        values: FloatArray = self._torch.randn(sizes, generator=self._generator).numpy()
        return values


def draw_normal(
    generators: Generator | Sequence[Generator], shape: Sequence[int], groups: int = 1
) -> FloatArray:
    """Draw standard normals for a batch.

    Args:
        generators: One generator, which draws the whole shape at once; or a list with one for each
            of B pictures.
        shape: Sizes; with a list the first must be `groups * B`.
        groups: Rows that each picture owns. Rows are ordered group first: picture i owns the rows
            i, B + i, 2B + i, ...; its generator draws them together.

    Returns:
        float32 array of that shape.

    Raises:
        InvalidInputError: The first size is not `groups * B`.
    """
    if isinstance(generators, Generator):
        return generators.randn(shape)
    batch = len(generators)
    rows, *rest = shape
    if batch < 1 or groups < 1 or rows != groups * batch:
        raise InvalidInputError(
            f"{batch} generators with groups={groups} cannot fill {rows} rows: the first size"
            " must be groups times the number of generators"
        )
    own = [generator.randn((groups, *rest)) for generator in generators]
    return np.stack(own, axis=1).reshape(tuple(shape))  # [groups, B, ...] -> [groups * B, ...]


def as_generators(generator: Any, seed: Any, count: int) -> SeededGenerators:
    """Turn the arguments `generator=` and `seed=` of a pipeline into generators.

    Args:
        generator: None, a `Generator`, an integer, a `torch.Generator` of the CPU, or a list of
            these with one for each picture. Those of a call under way, `SeededGenerators`, pass as
            they are.
        seed: None, an integer, or a list of integers with one for each picture. A seed is short for
            a fresh generator. With both None, a fresh seed comes from the operating system.
        count: Number of pictures.

    Raises:
        InvalidInputError: Both are given, a list's length is not `count`, or an entry is of another
            type.
        DeviceMemoryError: The generators of a list need more memory than the host has.
    """
    if generator is not None and seed is not None:
        raise InvalidInputError("generator= and seed= are both given: give one of them")
    if isinstance(generator, SeededGenerators):
        return generator
    name, given = ("seed", seed) if generator is None else ("generator", generator)
    if given is None:
        # the stream depends on 32 bits only, and a seed of 32 bits is easy to type again
        given = secrets.randbits(32)
    if not isinstance(given, list | tuple | range):
        one = _as_generator(name, given)
        return SeededGenerators(generators=one, seeds=(one.initial_seed(),), fresh=one.fresh)
    if _length(given) != count:
        raise InvalidInputError(
            f"{name} has {_length(given)} entries for {count} images:"
            " give a single one, or one for each image"
        )
    require_room_for_generators(count)
    many = tuple(_as_generator(name, entry) for entry in given)
    seeds = tuple(one.initial_seed() for one in many)
    return SeededGenerators(generators=many, seeds=seeds, fresh=all(one.fresh for one in many))


def require_room_for_generators(count: int) -> None:
    """Refuse so many generators that their states alone exceed the host's memory.

    Raises:
        DeviceMemoryError: They do.
    """
    states = Need("the states of their generators", count * STATE_BYTES, host())
    require_room_for_call(f"{count} pictures", [states])


def _length(given: Sequence[Any] | range) -> int:
    if isinstance(given, range):  # it may be longer than `len` can tell
        return max(0, -((given.start - given.stop) // given.step))
    return len(given)


def _as_generator(name: str, value: Any) -> Generator:
    if name == "generator":
        if isinstance(value, Generator):
            return value
        if type(value).__module__.split(".")[0] == "torch" and hasattr(value, "initial_seed"):
            if str(value.device) != "cpu":
                raise InvalidInputError(
                    f"generator is on {value.device}, whose random numbers other devices cannot"
                    " draw: use torch.Generator('cpu') or kandinsky_core.Generator"
                )
            return _TorchGenerator(value)
        if isinstance(value, bool) or not isinstance(value, int | np.integer):
            raise InvalidInputError(
                f"generator={value!r}: give a kandinsky_core.Generator, an integer, or a list"
            )
    return Generator().manual_seed(value)


def picture_seeds(source: SeededGenerators, count: int) -> list[dict[str, Any]]:
    """Return the metadata that fixes the noise of each of `count` pictures.

    A picture with a generator of its own records the generator's seed. Pictures that share one
    generator record its seed, their place and the size of the batch, since one stream runs through
    all of them.
    """
    shared = {"generator_was_fresh": source.fresh}
    if len(source.seeds) == count:
        return [{"seed": seed, **shared} for seed in source.seeds]
    own = {"seed": source.seeds[0], "batch_size": count, **shared}
    return [{**own, "batch_index": index} for index in range(count)]
