"""Pictures, masks and hints that a caller gives as arrays or lists."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, ClassVar

import numpy as np

from tools.fuzz.cases.byte_changes import NUMBERS
from tools.fuzz.cases.case import Case, Difference, Format

__all__ = ["Arrays"]

_DTYPES = (*"?bBhHiIlLqQefdgFD", "O", "U3", "S2", "M8[s]", "m8[s]", "V4", ">f4", ">u2")
_SHAPES: tuple[tuple[int, ...], ...] = (
    *((4, 4), (4, 4, 1), (4, 4, 3), (4, 4, 4), (3, 4, 4), (1, 4, 4), (4, 4, 2), (2, 4, 4, 3)),
    *((), (0,), (5,), (0, 4), (0, 4, 4, 3), (4, 0, 3), (1, 1), (3, 3), (3, 3, 3), (1, 1, 1, 1)),
    *((2, 2, 4, 4, 3), (1,) * 20, (100_000, 1), (1, 100_000), (4, 4, 0)),
)
_FILLS: tuple[Any, ...] = (0, 1, 255, 256, 127.5, -1, -0.5, 0.5, 2, np.nan, np.inf, -np.inf, 1e300)
_SIDE = 16
# Names of the calls, lowest value and number of channels of what they give.
_CALLS = {"as_images": (-1, 3), "as_masks": (0, 1), "as_hints": (0, 3)}


class Arrays(Format):
    """One argument that stands for pictures."""

    name: ClassVar[str] = "arrays"

    def warm(self) -> None:
        """See `Format.warm`."""
        import kandinsky_core.pictures.inputs  # noqa: F401

    def make(self, random: Random) -> Case:
        """See `Format.make`."""
        kind = random.choice(list(_KINDS))
        value = _KINDS[kind](random)
        if random.random() < 0.1:
            value = [value] * random.choice((1, 2, 50))
        return Case({}, [kind], {"value": value, "call": random.choice(list(_CALLS))})

    def read(self, case: Case, folder: Path) -> Any:
        """See `Format.read`."""
        from kandinsky_core.pictures import inputs

        call = case.settings["call"]
        found = getattr(inputs, call)("image", case.settings["value"], _SIDE, _SIDE)
        low, channels = _CALLS[call]
        if found.dtype != np.float32 or found.shape[1:] != (channels, _SIDE, _SIDE):
            raise Difference(f"{call} gave {found.dtype} {found.shape}")
        if not (found.min() >= low and found.max() <= 1):
            raise Difference(f"{call} gave values from {found.min()} to {found.max()}")
        return found


def _array(random: Random) -> Any:
    """Return an array of any dtype and shape, filled with one number and another."""
    shape = random.choice(_SHAPES)
    with np.errstate(all="ignore"):
        try:
            array = np.full(shape, random.choice(_FILLS)).astype(random.choice(_DTYPES))
        except (ValueError, TypeError, OverflowError):
            array = np.zeros(shape, "O")
        if array.size and random.random() < 0.5:
            try:
                array.flat[random.randrange(array.size)] = random.choice(_FILLS)
            except (ValueError, TypeError, OverflowError):
                return array
    return array


def _view(random: Random) -> Any:
    """Return an array with odd strides."""
    array = np.zeros((8, 8, 3), random.choice(("u1", "f4")))
    views = (
        array[::-1],
        array[::2, ::2],
        array.T,
        array[:, :0],
        np.broadcast_to(array, (2, 8, 8, 3)),
    )
    return random.choice(views)


def _huge_view(random: Random) -> Any:
    """Return an array that takes no memory, and 10 GB once it is copied."""
    del random
    return np.broadcast_to(np.zeros((1, 1, 3), "u1"), (60_000, 60_000, 3))


def _scalar(random: Random) -> Any:
    return random.choice((None, True, 0, 3.5, "x.png", b"abc", object, {}, {1: 2}, set(), *NUMBERS))


def _ragged(random: Random) -> Any:
    return [[1, 2], [3]] if random.random() < 0.5 else [np.zeros((4, 4)), None, "x"]


def _within_itself(random: Random) -> Any:
    value: list[Any] = [np.zeros((4, 4, 3), "u1")]
    value.insert(random.randrange(2), value)
    return value


def _deep(random: Random) -> Any:
    value: Any = np.zeros((4, 4, 3), "u1")
    for _ in range(random.choice((3, 500, 20_000))):
        value = [value]
    return _Shown(value)


def _path(random: Random) -> Any:
    return Path(random.choice(("x.png", "/dev/zero", "..")))


class _Shown(list[Any]):
    """A list that is deep; printing it must not go as deep."""

    def __init__(self, value: Any) -> None:
        super().__init__([value])

    def __repr__(self) -> str:
        return "a deep list"


_KINDS: dict[str, Callable[[Random], Any]] = {
    "array": _array,
    "another array": _array,
    "view": _view,
    "huge view": _huge_view,
    "scalar": _scalar,
    "ragged": _ragged,
    "within itself": _within_itself,
    "deep": _deep,
    "path": _path,
}
