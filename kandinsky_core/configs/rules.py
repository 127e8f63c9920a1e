"""Rules for the values of fields, which networks, schedulers and preprocessors share.

A rule says in words what a field may hold, and checks it. Values come from JSON that anybody may
have written: any type, any size.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any

__all__ = [
    "COUNT",
    "EPSILON",
    "LARGEST_TABLE",
    "SIZE",
    "TOKEN_ID",
    "Rule",
    "list_of",
    "number",
    "of_annotation",
    "one_of",
    "optional",
    "shown",
    "whole_number",
]

_SHOWN_LENGTH = 80  # a corrupted file may hold anything; a message stays one readable line
_LONGEST_LIST = 16  # levels of a network; published ones have at most 5
LARGEST_TABLE = 100_000
"""Longest table of one number for each training timestep; published schedulers have 1000."""


@dataclasses.dataclass(frozen=True, slots=True)
class Rule:
    """The values that a field may hold, in words and as a function that raises `ValueError`."""

    allowed: str
    parse: Callable[[object], object]


def shown(value: object) -> str:
    """Return a value as a message shows it: whatever it is, the text is short."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # ValueError: a number of thousands of digits
        text = f"a {type(value).__name__} too large to show"
    return text if len(text) <= _SHOWN_LENGTH else f"{text[:_SHOWN_LENGTH]}..."


def whole_number(low: int, high: int) -> Rule:
    """Allow integers, both bounds included. JSON's true and 3.0 are no integers."""

    def parse(value: object) -> object:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError
        return value

    return Rule(f"a whole number from {low} to {high}", parse)


def number(allowed: str, holds: Callable[[float], bool]) -> Rule:
    """Allow finite numbers for which a condition holds, in words and as a function.

    Integers count, as JSON writes 1 for 1.0; they are kept as they are. JSON's true does not count.
    """

    def parse(value: Any) -> object:
        real = isinstance(value, Real) and not isinstance(value, bool)
        if not real:
            raise ValueError
        try:
            found = float(value)
        except OverflowError:
            raise ValueError from None
        if not (math.isfinite(found) and holds(found)):
            raise ValueError
        return value if isinstance(value, int) else found

    return Rule(allowed, parse)


def _parse_flag(value: object) -> object:
    if not isinstance(value, bool):
        raise ValueError
    return value


def _parse_text(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError
    return value


def one_of(*choices: str) -> Rule:
    """Allow exactly the given strings."""

    def parse(value: object) -> object:
        if not isinstance(value, str) or value not in choices:
            raise ValueError
        return value

    return Rule(" or ".join(repr(choice) for choice in choices), parse)


def optional(rule: Rule) -> Rule:
    """Allow `None` and the values that `rule` allows."""

    def parse(value: object) -> object:
        return None if value is None else rule.parse(value)

    return Rule(f"null or {rule.allowed}", parse)


def list_of(rule: Rule, longest: int = _LONGEST_LIST) -> Rule:
    """Allow a list that is not empty, with items that `rule` allows; it is kept as a tuple."""

    def parse(value: object) -> object:
        if not isinstance(value, list | tuple) or not 0 < len(value) <= longest:
            raise ValueError
        return tuple(rule.parse(item) for item in value)

    return Rule(f"a list of 1 to {longest} items, each {rule.allowed}", parse)


# The upper bounds are far above any model's values, and low enough that no construction hangs.
SIZE = whole_number(1, 2**20)
COUNT = whole_number(1, 1000)
TOKEN_ID = whole_number(0, 2**20)
EPSILON = number("a number between 0 and 1", lambda value: 0 < value < 1)
_OF_TYPES: dict[object, Rule] = {
    bool: Rule("true or false", _parse_flag),
    float: number("a finite number", lambda _: True),
    int: whole_number(-(2**31), 2**31),
    str: Rule("a text", _parse_text),
}


def of_annotation(annotation: object) -> Rule:
    """Return the rule that an annotation stands for: a plain type, a sequence, or either or None.

    Raises:
        TypeError: It is another annotation.
    """
    if annotation in _OF_TYPES:
        return _OF_TYPES[annotation]
    arguments = typing.get_args(annotation)
    origin = typing.get_origin(annotation)
    if origin in (types.UnionType, typing.Union) and len(arguments) == 2:
        (rest,) = (argument for argument in arguments if argument is not type(None))
        return optional(of_annotation(rest))
    if origin is Sequence:
        return list_of(of_annotation(arguments[0]), LARGEST_TABLE)
    raise TypeError(f"no rule for {annotation!r}")
