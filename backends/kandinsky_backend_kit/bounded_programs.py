"""Bounds what compiled programs take: those used longest ago make room for new ones.

A compiled program on a CPU takes hundreds of memory mappings, and Linux allows a process 65,530.
With none left the compiler ends the process. So all programs of a process share one bound, whatever
backend, pipeline or thread compiled them.
"""

from __future__ import annotations

import itertools
import logging
import os
import threading
import weakref
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from kandinsky_backend_kit.host_memory import host_memory
from kandinsky_backend_kit.memory_mappings import memory_mappings
from kandinsky_core.errors import DeviceMemoryError, InvalidInputError

__all__ = [
    "PROGRAMS_VARIABLE",
    "BoundedPrograms",
    "kept_programs",
    "make_room",
    "memory_share",
    "program_limit",
]

# Its users set levels by this name, as for the compilations themselves.
logger = logging.getLogger("kandinsky_core.compilations")

PROGRAMS_VARIABLE = "KANDINSKY_MAX_PROGRAMS"
"""The environment variable that says how many compiled programs a process keeps."""

_DEFAULT_LIMIT = 256
_MAPPINGS_SHARE = 1 / 2  # of the mappings that a process may have: programs are dropped above it
_MAPPINGS_END = 7 / 8  # the next compilation might not end well
_MEMORY_SHARE = 1 / 4  # of the host's memory, for all programs whose size is known

Program = TypeVar("Program")


def program_limit() -> int:
    """Return how many compiled programs this process keeps.

    Raises:
        InvalidInputError: The environment's `KANDINSKY_MAX_PROGRAMS` is no whole number from 1 on.
    """
    text = os.environ.get(PROGRAMS_VARIABLE, "").strip()
    if not text:
        return _DEFAULT_LIMIT
    if not (text.isascii() and text.isdecimal() and len(text) <= 9 and int(text)):
        raise InvalidInputError(
            f"the environment's {PROGRAMS_VARIABLE}={text!r}: give a whole number from 1 on, or "
            f"leave it out for {_DEFAULT_LIMIT} compiled programs"
        )
    return int(text)


def memory_share() -> int | None:
    """Return how many bytes programs may take, or None where the host does not tell what it has."""
    host = host_memory()
    return None if host is None else int(host.total * _MEMORY_SHARE)


@dataclass(eq=False, slots=True, weakref_slot=True)
class _Entry:
    """One compiled program; its owner alone keeps it alive."""

    program: Any
    label: str
    size: int
    used: int
    owner: weakref.ref[BoundedPrograms[Any]]
    key: Hashable


_LOCK = threading.Lock()  # nothing else is locked or released while it is held
_entries: weakref.WeakSet[_Entry] = weakref.WeakSet()
_clock = itertools.count()


class BoundedPrograms(Generic[Program]):
    """The compiled programs of one function, by the shapes that they were compiled for.

    They end with this object, or when programs that were compiled or used later need their room. A
    program that a call has got is the call's until it drops it.
    """

    def __init__(self) -> None:
        self._kept: dict[Hashable, _Entry] = {}

    def get(self, key: Hashable) -> Program | None:
        """Return a program, which is now the one used last, or None if it is not here any more."""
        entry = self._kept.get(key)
        if entry is None:
            return None
        entry.used = next(_clock)
        program: Program = entry.program
        return program

    def add(self, key: Hashable, program: Program, label: str, size: int = 0) -> None:
        """Keep a program.

        Args:
            key: What tells it from other programs of this function.
            program: The compiled program.
            label: Its name and shape, for the log.
            size: Its memory in bytes, 0 where that is unknown.

        Raises:
            InvalidInputError: See `program_limit`.
        """
        limit = program_limit()
        with _LOCK:
            entry = _Entry(program, label, size, next(_clock), weakref.ref(self), key)
            self._kept[key] = entry
            _entries.add(entry)
        _drop_above(limit)

    def __iter__(self) -> Iterator[Program]:
        return iter([entry.program for entry in list(self._kept.values())])

    def _drop(self, entry: _Entry) -> None:
        if self._kept.get(entry.key) is entry:
            del self._kept[entry.key]


def kept_programs() -> list[str]:
    """Return the labels of all programs that this process keeps, the one used last at the end."""
    return [entry.label for entry in _oldest_first()]


def make_room() -> None:
    """Drop programs until one more can be compiled; call it before each compilation.

    Raises:
        DeviceMemoryError: The process has nearly as many memory mappings as Linux allows, and they
            are not those of programs that can be dropped.
        InvalidInputError: See `program_limit`.
    """
    _drop_above(program_limit() - 1)
    _free_memory()
    _free_mappings()


def _free_memory() -> None:
    share = memory_share()
    while share is not None:
        entries = _oldest_first()
        if sum(entry.size for entry in entries) <= share:
            break
        _drop(entries, f"programs may take {share / 2**30:.1f} GiB of the host's memory")


def _free_mappings() -> None:
    while (found := memory_mappings()) is not None:
        entries = _oldest_first()
        if found.taken <= found.allowed * _MAPPINGS_SHARE or not entries:
            break
        _drop(entries, f"{found.taken} of {found.allowed} memory mappings are taken")
    if found is not None and found.taken > found.allowed * _MAPPINGS_END:
        raise DeviceMemoryError(
            f"this process has {found.taken} of the {found.allowed} memory mappings that Linux "
            "allows, too many to compile another program: allow more (sysctl vm.max_map_count), or "
            "start another process"
        )


def _drop_above(limit: int) -> None:
    while len(entries := _oldest_first()) > limit:
        _drop(entries, f"{PROGRAMS_VARIABLE} allows {program_limit()} programs")


def _oldest_first() -> list[_Entry]:
    with _LOCK:
        return sorted(_entries, key=lambda entry: entry.used)


def _drop(entries: list[_Entry], reason: str) -> None:
    """Drop the first of the entries, and empty the list, which keeps programs alive."""
    entry = entries[0]
    entries.clear()
    owner = entry.owner()
    with _LOCK:
        _entries.discard(entry)
        if owner is not None:
            owner._drop(entry)
    logger.info("dropped %s, the program used longest ago, as %s", entry.label, reason)
