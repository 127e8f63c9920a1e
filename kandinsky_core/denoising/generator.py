"""Random numbers: PyTorch's CPU normal stream, reproduced in NumPy.

PyTorch draws from a Mersenne Twister (MT19937) that is seeded with the low 32 bits of the seed.
A draw of 16 or more values takes one 24-bit uniform for each value. It turns blocks of 16 (8 pairs)
into normals by Box-Muller in float32. Where the count is no multiple of 16, the last 16 values are
drawn again. A smaller draw goes value by value in float64 with 53-bit uniforms; it keeps the second
normal of a pair for the next small draw.

Reference: PyTorch's `aten/src/ATen/native/cpu/DistributionTemplates.h` (`normal_fill`,
`normal_kernel`), `aten/src/ATen/core/DistributionsHelper.h` and `MT19937RNGEngine.h`.
"""

from __future__ import annotations

import math
import operator
import secrets
from collections.abc import Sequence
from typing import Any

import numpy as np

from kandinsky_core.arrays import FloatArray
from kandinsky_core.errors import InvalidInputError

__all__ = ["DEFAULT_SEED", "STATE_BYTES", "Generator"]

DEFAULT_SEED = 67280421310721  # the seed of a `torch.Generator` that nobody seeded

_STATE_SIZE = 624
STATE_BYTES = 4 * _STATE_SIZE
"""Bytes of a generator's state, at least."""
_BLOCK = 16
_CHUNK = 1 << 15  # values transformed at once: the temporaries stay in the cache
_TWO_PI = np.float32(2 * math.pi)
_TWO_POW_MINUS_24 = np.float32(2.0**-24)
_TWO_POW_MINUS_53 = 2.0**-53


class Generator:
    """A stateful source of normal numbers, equal to `torch.Generator(device="cpu")` up to 1e-6.

    `Generator(7)` and `Generator("cpu").manual_seed(7)` are the same, as in PyTorch. Threads that
    draw at the same time must not share a generator.

    Args:
        seed: From -2**63 to 2**64 - 1. As in PyTorch, a negative seed stands for itself plus 2**64,
            and only the low 32 bits change the numbers. A string here is taken as `device`.
        device: Only "cpu"; it exists so that calls written for PyTorch run. The numbers are always
            made on the CPU, wherever the pipeline runs.

    Attributes:
        fresh: Whether nothing was drawn since it was seeded, so that its seed repeats its stream.

    Raises:
        InvalidInputError: The seed is not such an integer, or the device is not the CPU.
    """

    device = "cpu"

    def __init__(self, seed: int | str = DEFAULT_SEED, device: Any = "cpu") -> None:
        if isinstance(seed, str):
            seed, device = DEFAULT_SEED, seed
        if str(device) != "cpu":
            raise InvalidInputError(
                f"device={str(device)!r}: only the random numbers of PyTorch's CPU are reproduced;"
                " use Generator(device='cpu'), which serves a pipeline on any device"
            )
        self._bits = np.random.MT19937(0)
        self.manual_seed(seed)

    def __repr__(self) -> str:
        return f"Generator(seed={self._seed})"

    def manual_seed(self, seed: int) -> Generator:
        """Start the stream of `seed` from its beginning and return self.

        Raises:
            InvalidInputError: `seed` is no integer from -2**63 to 2**64 - 1.
        """
        self._seed = _unsigned_seed(seed)
        self.fresh = True
        self._spare: float | None = None  # second normal of a pair, kept by the small draws
        key = _initial_key(self._seed & 0xFFFFFFFF)
        self._bits.state = {
            "bit_generator": "MT19937",
            "state": {"key": key, "pos": _STATE_SIZE},
        }
        return self

    def initial_seed(self) -> int:
        """Return the seed that the stream was started with, from 0 to 2**64 - 1."""
        return self._seed

    def seed(self) -> int:
        """Start a stream with a fresh seed from the operating system and return that seed."""
        self.manual_seed(secrets.randbits(64))
        return self._seed

    def randn(self, shape: int | Sequence[int]) -> FloatArray:
        """Draw standard normals as `torch.randn(shape, generator=...)` does.

        Args:
            shape: Length or sizes. () gives an array of rank 0; a size of 0 draws nothing.

        Returns:
            float32 array of that shape, within 1e-6 of PyTorch's values.

        Raises:
            InvalidInputError: A size is negative or no integer.
        """
        sizes = _sizes(shape)
        self.fresh = False
        out = np.empty(math.prod(sizes), np.float32)
        if out.size < _BLOCK:
            for index in range(out.size):
                out[index] = self._next_normal()
            return out.reshape(sizes)
        rest = out.size % _BLOCK
        self._fill_blocks(out[: out.size - rest])
        if rest:
            # PyTorch first draws uniforms for the incomplete block, then redoes the last 16 values
            self._bits.random_raw(rest, output=False)
            self._fill_blocks(out[-_BLOCK:])
        return out.reshape(sizes)

    def _fill_blocks(self, out: FloatArray) -> None:
        for start in range(0, out.size, _CHUNK):
            part = out[start : start + _CHUNK].reshape(-1, 2, _BLOCK // 2)  # [N] -> [blocks, 2, 8]
            raw = self._bits.random_raw(part.size).astype(np.uint32) & np.uint32(0xFFFFFF)
            # 24 bits fit a signed integer, which converts to float faster than an unsigned one
            uniform = raw.view(np.int32).astype(np.float32) * _TWO_POW_MINUS_24
            pairs = uniform.reshape(part.shape)
            first = np.float32(1) - pairs[:, 0]  # from (0, 1]: its logarithm is finite
            angle = _TWO_PI * pairs[:, 1]
            radius = np.sqrt(np.float32(-2) * np.log(first))
            part[:, 0] = radius * np.cos(angle)
            part[:, 1] = radius * np.sin(angle)

    def _next_normal(self) -> float:
        if self._spare is not None:
            value, self._spare = self._spare, None
            return value
        words = [int(word) for word in self._bits.random_raw(4)]
        angle = 2 * math.pi * _uniform_53(words[0], words[1])
        radius = math.sqrt(-2 * math.log1p(-_uniform_53(words[2], words[3])))
        self._spare = radius * math.sin(angle)
        return radius * math.cos(angle)


def _uniform_53(high: int, low: int) -> float:
    return ((high << 32 | low) & ((1 << 53) - 1)) * _TWO_POW_MINUS_53


def _initial_key(seed: int) -> np.ndarray[Any, np.dtype[np.uint32]]:
    """Expand 32 bits into the state of MT19937 (Matsumoto and Nishimura's `init_genrand`)."""
    words = [seed]
    for index in range(1, _STATE_SIZE):
        last = words[-1]
        words.append((1812433253 * (last ^ last >> 30) + index) & 0xFFFFFFFF)
    return np.array(words, np.uint32)


def _unsigned_seed(seed: Any) -> int:
    try:
        number = operator.index(seed)
    except TypeError:
        number = None
    if number is None or isinstance(seed, bool) or not -(2**63) <= number < 2**64:
        raise InvalidInputError(
            f"seed={seed!r}: a seed is an integer from -2**63 to 2**64 - 1, for example seed=0"
        )
    return number % 2**64


def _sizes(shape: int | Sequence[int]) -> tuple[int, ...]:
    given = shape if isinstance(shape, Sequence) else (shape,)
    try:
        sizes = tuple(operator.index(size) for size in given)
    except TypeError:
        sizes = None
    if sizes is None or min(sizes, default=0) < 0:
        raise InvalidInputError(
            f"shape={shape!r}: give integers of 0 or more, for example (1, 4, 64, 64)"
        )
    return sizes
