"""Keeps the weights of only one offloaded network at a time on a device."""

from __future__ import annotations

import weakref
from collections.abc import Hashable
from typing import Protocol

__all__ = ["Holder", "Turns"]


class Holder(Protocol):
    """A run, which holds a copy of weights on a device for longer than one call."""

    def leave(self) -> None:
        """Let go of the copy; another can be made."""
        ...


class Turns:
    """Knows for each device which run holds weights there; another network's turn ends that.

    A backend has one such object: its networks take turns with each other. A run that is over
    holds nothing, because its copy went with it.
    """

    def __init__(self) -> None:
        self._holders: dict[Hashable, weakref.ref[Holder]] = {}

    def take(self, place: Hashable, holder: Holder | None = None) -> None:
        """Begin the turn of a run or of a single call, before weights come to the device."""
        known = self._holders.pop(place, None)
        before = None if known is None else known()
        if before is not None and before is not holder:
            before.leave()
        if holder is not None:
            self._holders[place] = weakref.ref(holder)
