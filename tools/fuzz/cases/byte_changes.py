"""Changes of bytes that know nothing of a format: flip, cut, insert, splice, repeat."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

__all__ = ["NUMBERS", "changed_bytes", "changed_text"]

NUMBERS: Sequence[int] = (
    *(0, 1, 2, 3, 7, 8, 127, 128, 255, 256, 65_535, 65_536),
    *(-1, -2, -8, -(1 << 31), -(1 << 63)),
    *(1 << 20, 1 << 24, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32, 1 << 40),
    *((1 << 53) + 1, (1 << 62), (1 << 63) - 1, 1 << 63, (1 << 64) - 1, 1 << 64),
)
"""Numbers at which readers tend to break."""


def changed_bytes(random: Random, data: bytes, *, rounds: int = 3) -> tuple[bytes, list[str]]:
    """Change bytes in one to `rounds` ways.

    Returns:
        The bytes, and what was done.
    """
    changed, how = bytearray(data), []
    for _ in range(random.randint(1, random.choice((1, rounds)))):
        if not changed:
            break
        change = random.choice(_CHANGES)
        place = _place(random, len(changed))
        change(random, changed, place)
        how.append(f"{change.__name__.strip('_')} at {place}")
    return bytes(changed), how


def changed_text(random: Random, text: str) -> tuple[str, list[str]]:
    """Repeat, drop or swap lines of a text, or put odd characters in."""
    lines = text.split("\n")
    place = random.randrange(len(lines))
    kind = random.choice(("repeat", "drop", "swap", "odd", "long"))
    if kind == "repeat":
        lines[place:place] = [lines[place]] * random.choice((1, 2, 100))
    elif kind == "drop":
        del lines[place]
    elif kind == "swap":
        other = random.randrange(len(lines))
        lines[place], lines[other] = lines[other], lines[place]
    elif kind == "odd":
        cut = random.randint(0, len(lines[place]))
        odd = random.choice(("\0", "\x1b[2J", "\ufeff", "\u202e", " ", "\t", "\r", "---", ":"))
        lines[place] = lines[place][:cut] + odd + lines[place][cut:]
    else:
        lines[place] += "x" * random.choice((1000, 100_000))
    return "\n".join(lines), [f"{kind} line {place}"]


def _place(random: Random, size: int) -> int:
    """Choose a place; half of them are near the front, where headers are."""
    share = random.random()
    return int((share**3 if random.random() < 0.5 else share) * size)


def _flip(random: Random, data: bytearray, place: int) -> None:
    data[place] ^= 1 << random.randrange(8)


def _set(random: Random, data: bytearray, place: int) -> None:
    data[place] = random.choice((0, 1, 0x7F, 0x80, 0xFF, random.randrange(256)))


def _cut(random: Random, data: bytearray, place: int) -> None:
    del data[place:]


def _delete(random: Random, data: bytearray, place: int) -> None:
    del data[place : place + random.choice((1, 2, 4, 8, 64))]


def _insert(random: Random, data: bytearray, place: int) -> None:
    data[place:place] = random.randbytes(random.choice((1, 2, 4, 8, 64)))


def _splice(random: Random, data: bytearray, place: int) -> None:
    start = random.randrange(len(data))
    piece = data[start : start + random.choice((1, 4, 16, 64, 256))]
    data[place : place + len(piece)] = piece


def _repeat(random: Random, data: bytearray, place: int) -> None:
    piece = data[place : place + random.choice((1, 4, 16, 64, 256))]
    data[place:place] = piece * random.choice((1, 2, 10, 100))


def _number(random: Random, data: bytearray, place: int) -> None:
    size = random.choice((1, 2, 4, 8))
    value = random.choice(NUMBERS) % (1 << 8 * size)
    data[place : place + size] = value.to_bytes(size, random.choice(("little", "big")))


_CHANGES = (_flip, _set, _cut, _delete, _insert, _splice, _repeat, _number)
