"""Counts the memory mappings of this process, of which Linux allows a fixed number."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["Mappings", "memory_mappings"]

_TAKEN, _ALLOWED = Path("/proc/self/maps"), Path("/proc/sys/vm/max_map_count")  # Linux


@dataclass(frozen=True, slots=True)
class Mappings:
    """The memory mappings of a process.

    Attributes:
        taken: How many this process has; a compiled program takes tens or hundreds.
        allowed: How many a process may have (`vm.max_map_count`).
    """

    taken: int
    allowed: int


def memory_mappings() -> Mappings | None:
    """Count the mappings of this process, or return None where the system does not tell."""
    try:
        # A mapping is a line; a file's name may hold bytes of any kind.
        return Mappings(_TAKEN.read_bytes().count(b"\n"), int(_ALLOWED.read_bytes()))
    except (OSError, ValueError):
        return None
