"""Damages bytes and JSON in ways that a seed decides."""

from __future__ import annotations

import copy
import random
from typing import Any

__all__ = ["WRONG", "mutated_bytes", "mutated_json"]

WRONG: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2.5, 1 << 31, 1 << 61, 1 << 63, 1 << 64, -(1 << 63), 10**400),
    *(float("nan"), float("inf"), 1e308, "", "F32", "a" * 2000, "1", "\x00\u202e", [], [[]], {}),
    *([0], [1 << 61, 0], [1, 1 << 61], ["1"], [True], [1] * 99, {"a": 1}, {"shape": [1]}),
)
"""Values that one or another place of a JSON text does not allow."""


def mutated_bytes(content: bytes, seed: int) -> bytes:
    """Flip, cut, splice, repeat or overwrite chunks, one to three times."""
    chance = random.Random(seed)
    made = bytearray(content)
    for _ in range(chance.randint(1, 3)):
        if not made:
            break
        first, second = (chance.randrange(len(made)) for _ in range(2))
        size = chance.choice((1, 2, 4, 8, 40))
        chunk = bytes(made[second : second + size])
        kind = chance.randrange(7)
        if kind == 0:
            made[first] ^= 1 << chance.randrange(8)
        elif kind == 1:
            made[first] = chance.randrange(256)
        elif kind == 2:
            del made[first:]
        elif kind == 3:
            del made[first : first + size]
        elif kind == 4:
            made[first : first + len(chunk)] = chunk
        elif kind == 5:
            made[first:first] = chunk * chance.choice((1, 2, 100))
        else:
            extreme = chance.choice((b"\0", b"\xff", b"\x7f", b"\x80"))
            made[first : first + size] = extreme * size
    return bytes(made)


def mutated_json(value: Any, seed: int) -> Any:
    """Replace, drop or copy one value somewhere in a JSON value."""
    chance = random.Random(seed)
    made = copy.deepcopy(value)
    places = [(made, key) for key in _keys(made)]
    for parent, key in places:  # the list grows: what lies deeper is a place too
        places += [(parent[key], inner) for inner in _keys(parent[key])]
    parent, key = chance.choice(places)
    if chance.random() < 0.1:
        del parent[key]
    elif chance.random() < 0.2:
        other, name = chance.choice(places)
        parent[key] = copy.deepcopy(other[name])
    else:
        parent[key] = copy.deepcopy(chance.choice(WRONG))
    return made


def _keys(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value)
    return list(range(len(value))) if isinstance(value, list) else []
