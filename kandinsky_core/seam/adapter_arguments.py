"""Checks the names and weights of adapters that a caller gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kandinsky_core.errors import InvalidInputError
from kandinsky_core.validation import real_number

__all__ = ["adapter_name", "names_of", "weights_of"]


def adapter_name(name: Any) -> str:
    """Return a name that an adapter can have.

    Raises:
        InvalidInputError: It is no text, is empty, or holds a dot, which separates names in files.
    """
    if not isinstance(name, str) or not name or "." in name:
        raise InvalidInputError(
            f"adapter_name={name!r}: give a text without '.'; a factor is given as weight="
        )
    return name


def names_of(names: Any) -> list[str]:
    """Return one name or several as a list without duplicates.

    Raises:
        InvalidInputError: Something is no text, or a name comes twice.
    """
    found = [names] if isinstance(names, str) else names
    if not isinstance(found, Sequence | set) or not all(isinstance(name, str) for name in found):
        raise InvalidInputError(f"{names!r}: give an adapter's name, or a list of names")
    if len({*found}) != len(found):
        raise InvalidInputError(f"{names!r} names an adapter twice: give each once")
    return list(found)


def weights_of(names: Sequence[str], weights: Any) -> list[float]:
    """Return a weight for each name: a number for all, or a list; None is 1.

    Raises:
        InvalidInputError: Their numbers differ, or one is no number.
    """
    given = list(weights) if isinstance(weights, list | tuple) else [weights] * len(names)
    if len(given) != len(names):
        raise InvalidInputError(
            f"{len(given)} weights for {len(names)} adapters: give one for all, or one for each"
        )
    if any(isinstance(weight, Mapping) for weight in given):
        raise InvalidInputError(
            "weights by blocks of the network are not supported: give each adapter one number"
        )
    return [1.0 if weight is None else real_number("weight", weight) for weight in given]
