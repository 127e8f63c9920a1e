"""Changes of JSON: values of wrong types, huge, not finite, nested; keys repeated, lost, odd."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from tools.fuzz.cases.byte_changes import NUMBERS, changed_bytes

__all__ = ["changed_json", "changed_value", "odd_text", "odd_value"]

_DEEP = "@deep@"  # stands for brackets that are nested too deeply for json.dumps
_NAMES: Sequence[str] = (
    *("", ".", "..", "../outside", "../../outside", "a/../../outside", "/tmp/outside"),
    *("/dev/zero", "/dev/stdin", "~", "~/x", "C:\\x", "..\\x", "\\\\host\\x", "con", "a\0b"),
    *("a/b", "./a", "a//b", "a" * 300, "\ud800", "\x1b[2Jx", "line\nline", "\u202ex", "fe\u0301"),
    *("-rf", "--output", "nan", "null", "http://127.0.0.1:9/x", "file:///etc/hostname"),
)


def odd_text(random: Random) -> str:
    """Return a text that makes a bad name of a file, a bad number or a bad line of a terminal."""
    return random.choice(_NAMES)


def odd_value(random: Random) -> Any:
    """Return a value of any type of JSON."""
    kind = random.randrange(8)
    if kind == 0:
        return random.choice((None, True, False, [], {}, "", [[]], [{}], {"": {}}))
    if kind == 1:
        return random.choice(NUMBERS)
    if kind == 2:
        return random.choice((float("nan"), float("inf"), -float("inf"), 1e308, -1e-320, 0.5, -1.0))
    if kind == 3:
        return odd_text(random)
    if kind == 4:
        return [odd_text(random)] * random.choice((1, 2, 1000))
    if kind == 5:
        return {odd_text(random): random.choice(NUMBERS), "content": odd_text(random)}
    if kind == 6:
        return random.choice((_DEEP, 10**400, "x" * 100_000, [0] * 10_000))
    return random.choice((str(random.choice(NUMBERS)), "true", "1e999", [None], [True], 1.0, 3.0))


def changed_value(random: Random, value: Any, *, rounds: int = 2) -> tuple[Any, list[str]]:
    """Return a copy of a value of JSON with one to `rounds` changes, and what was done."""
    value = copy.deepcopy(value)
    how: list[str] = []
    for _ in range(random.randint(1, rounds)):
        places = list(_places(value))
        if not places:
            return odd_value(random), [*how, "replace the whole"]
        holder, key = random.choice(places)
        kind = random.choice(("replace", "replace", "replace", "delete", "rename", "move", "add"))
        how.append(f"{kind} {key!r}")
        if kind == "replace":
            holder[key] = odd_value(random)
        elif kind == "delete":
            del holder[key]
        elif kind == "rename" and isinstance(holder, dict):
            holder[odd_text(random)] = holder.pop(key)
        elif kind == "move":
            other, there = random.choice(places)
            holder[key] = copy.deepcopy(other.get(there) if isinstance(other, dict) else 0)
        elif isinstance(holder, dict):
            holder[random.choice((odd_text(random), "extra"))] = odd_value(random)
        else:
            holder.append(odd_value(random))
    return value, how


def changed_json(random: Random, value: Any) -> tuple[bytes, list[str]]:
    """Return a changed value as the bytes of a file, which may be damaged on top.

    Returns:
        The bytes, and what was done.
    """
    how: list[str] = []
    if random.random() < 0.85:
        value, how = changed_value(random, value)
    text = _text(random, value)
    kind = random.random()
    if kind < 0.05:
        text, how = _with_a_key_twice(random, text), [*how, "a key twice"]
    data = text.encode("utf-8", "surrogatepass")
    if kind > 0.85:
        data, more = changed_bytes(random, data)
        return data, [*how, *more]
    if kind > 0.80:
        name, data = random.choice(
            (
                ("BOM", b"\xef\xbb\xbf" + data),
                ("UTF-16", text.encode("utf-16", "surrogatepass")),
                ("more behind", data + b"{}"),
                ("empty", b""),
                ("whole deep", b"[" * 100_000 + b"]" * 100_000),
                ("list around", b"[" + data + b"]"),
            )
        )
        how = [*how, name]
    return data, how


def _text(random: Random, value: Any) -> str:
    text = json.dumps(value, ensure_ascii=random.random() < 0.8)
    if _DEEP in text:
        depth = random.choice((20, 500, 2_000, 100_000))
        left, right = random.choice((("[", "]"), ('{"a":', "}")))
        text = text.replace(json.dumps(_DEEP), left * depth + "0" + right * depth, 1)
    return text


def _with_a_key_twice(random: Random, text: str) -> str:
    keys = list(re.finditer(r'"(?:[^"\\]|\\.)*": ', text))
    if not keys:
        return text
    found = random.choice(keys)
    value = random.choice(("null", "1", '"x"', "[]", "NaN"))
    return f"{text[: found.start()]}{found[0]}{value}, {text[found.start() :]}"


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every place of a nested value, as what holds it and its key there."""
    if isinstance(value, dict):
        for key in value:
            yield value, key
            yield from _places(value[key])
    elif isinstance(value, list):
        for index, item in enumerate(value[:20]):
            yield value, index
            yield from _places(item)
