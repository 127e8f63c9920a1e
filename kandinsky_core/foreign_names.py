"""Names that diffusers has and this library does not need: each one says so in one line.

A class body is the table. `NoOp` accepts a call and logs why it changes nothing. `Refused` raises
an error that says what to do instead. `accepted_names` and `refused_names` read the tables.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

from kandinsky_core.errors import RefusedNameError

__all__ = [
    "ForeignNames",
    "NoOp",
    "Refused",
    "accepted_names",
    "refusal",
    "refused_names",
    "refuses",
]

logger = logging.getLogger(__name__)

Kind = TypeVar("Kind", bound=type)


class NoOp:
    """A method that takes any arguments, logs one line, and changes nothing.

    Args:
        reason: Why the call changes nothing here.
        returns_self: Return the object, as PyTorch's methods do that are chained.
        result: What the call returns otherwise.
    """

    def __init__(self, reason: str, *, returns_self: bool = False, result: Any = None) -> None:
        self.reason = reason
        self._returns_self, self._result = returns_self, result

    def __set_name__(self, owner: type, name: str) -> None:
        reason, returns_self, result = self.reason, self._returns_self, self._result

        def call(self: Any, *args: Any, **options: Any) -> Any:
            logger.info("%s changes nothing: %s", name, reason)
            return self if returns_self else result

        call.__name__, call.__qualname__ = name, f"{owner.__qualname__}.{name}"
        call.__module__, call.__annotations__ = owner.__module__, {}  # for help()
        call.__doc__ = f"Accept the call and log one line: {reason}."
        self._call = call

    def __get__(self, instance: Any, owner: type | None = None) -> Callable[..., Any]:
        bound: Callable[..., Any] = self._call.__get__(instance, owner)
        return bound


class Refused:
    """A name that raises `RefusedNameError` when it is read, so that `hasattr` is False.

    Args:
        reason: Why the name does not exist here.
        instead: What to do instead, as an instruction.
    """

    def __init__(self, reason: str, instead: str) -> None:
        self.reason, self.instead = reason, instead

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        holder = type(instance) if owner is None else owner
        raise RefusedNameError(
            f"{holder.__name__}.{self._name}: {self.reason}; {self.instead}",
            name=self._name,
            obj=instance,
        )


class ForeignNames:
    """Base of the tables: `dir()` of an object leaves out the names that it refuses."""

    def __dir__(self) -> list[str]:
        refused = refused_names(type(self))
        return [name for name in super().__dir__() if name not in refused]


def refuses(reason: str, instead: str, names: str) -> Callable[[Kind], Kind]:
    """Return a class decorator that refuses many names for one reason.

    Args:
        reason: As for `Refused`.
        instead: As for `Refused`.
        names: The names, with spaces between them.
    """

    def mark(kind: Kind) -> Kind:
        for name in names.split():
            entry = Refused(reason, instead)
            entry.__set_name__(kind, name)
            setattr(kind, name, entry)
        return kind

    return mark


def accepted_names(kind: type) -> dict[str, str]:
    """Return the calls that a class accepts and that change nothing, with the reasons.

    Args:
        kind: A pipeline class, a scheduler class or a network class.
    """
    return {name: entry.reason for name, entry in _entries(kind, NoOp)}


def refused_names(kind: type) -> dict[str, str]:
    """Return the names that a class refuses, with the reasons and what to do instead.

    Args:
        kind: A pipeline class, a scheduler class or a network class.
    """
    return {name: f"{entry.reason}; {entry.instead}" for name, entry in _entries(kind, Refused)}


def refusal(kind: type, name: str) -> AttributeError:
    """Return the error for an attribute that an object lacks: a refusal's own, or the plain one.

    A class with a `__getattr__` of its own raises this. Python calls `__getattr__` after a
    refusal, and the reason would be lost.
    """
    entry = dict(_entries(kind, Refused)).get(name)
    if entry is None:
        return AttributeError(f"{kind.__name__!r} object has no attribute {name!r}", name=name)
    return RefusedNameError(f"{kind.__name__}.{name}: {entry.reason}; {entry.instead}", name=name)


def _entries(kind: type, sort: type[Any]) -> list[tuple[str, Any]]:
    found: dict[str, Any] = {}
    for base in reversed(kind.__mro__):
        found |= vars(base)
    return sorted((name, entry) for name, entry in found.items() if isinstance(entry, sort))
