"""Reads how much memory the host has and this process takes, without any package for it."""

from __future__ import annotations

import os
from pathlib import Path

from kandinsky_core.seam.backend import DeviceMemory

__all__ = ["host_memory", "resident_memory"]

_MEMINFO, _STATM = Path("/proc/meminfo"), Path("/proc/self/statm")  # Linux


def host_memory(device: str = "cpu") -> DeviceMemory | None:
    """Return the host's memory in bytes, or None where the system does not tell it.

    Args:
        device: The name of the device that computes in this memory.
    """
    free: int | None
    try:
        total, free = _from_linux()
    except (OSError, ValueError, KeyError, IndexError):
        try:
            total, free = _from_posix()
        except (AttributeError, OSError, ValueError):  # no such function, or no such name
            return None
    return DeviceMemory(device=device, total=total, free=free, host=True, filled_by_load=False)


def _from_linux() -> tuple[int, int]:
    """Count as free all memory that needs no swapping: cached files can be dropped."""
    lines = dict(line.split(":", 1) for line in _MEMINFO.read_text(encoding="ascii").splitlines())
    total, free = (1024 * int(lines[name].split()[0]) for name in ("MemTotal", "MemAvailable"))
    return total, free


def _from_posix() -> tuple[int, int | None]:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return total, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
    except ValueError:  # macOS has no such name
        return total, None


def resident_memory() -> int:
    """Return the bytes of memory that this process takes, or 0 where the system does not tell."""
    try:
        pages = int(_STATM.read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError, IndexError):
        return 0
