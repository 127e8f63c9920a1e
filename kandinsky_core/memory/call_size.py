"""Refuses a call that surely needs more memory than there is, before anything is computed.

What is counted is a lower bound: single arrays that the call has in memory at some time. A call
that passes may run out of memory all the same.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

from kandinsky_core.memory.plan import readable_size
from kandinsky_core.memory.setting import SETTING, refuse
from kandinsky_core.seam.device_memory import DeviceMemory

__all__ = ["FLOAT", "Need", "host_size", "require_room_for_call"]

FLOAT = 4
"""Bytes of a number in float32."""


@dataclass(frozen=True, slots=True)
class Need:
    """An array that a call surely has in memory at some time.

    Attributes:
        what: The array's name, in the plural.
        size: Its bytes.
        memory: The memory of the device where it is; None where that is unknown.
        way: What makes it smaller, beside a smaller call; empty where nothing does.
    """

    what: str
    size: int
    memory: DeviceMemory | None
    way: str = ""


def host_size() -> int | None:
    """Return the bytes of the host's memory, or None where the system does not tell it."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # no such function, or no such name
        return None


def host() -> DeviceMemory | None:
    """Return the host's memory, where the arrays of NumPy are."""
    total = host_size()
    if total is None:
        return None
    return DeviceMemory(device="the host", total=total, free=None, host=True, filled_by_load=False)


def require_room_for_call(call: str, needs: Iterable[Need]) -> None:
    """Refuse a call one of whose arrays alone exceeds the whole memory of its device.

    Args:
        call: The call in words, `1 picture of 512 x 512 pixels` for example.
        needs: The arrays.

    Raises:
        DeviceMemoryError: One of them exceeds the memory; the message names the first one.
    """
    for need in needs:
        if need.memory is not None and need.size > need.memory.total:
            way = f", {need.way}" if need.way else ""
            refuse(
                f"{call}: {need.what} alone take {readable_size(need.size)} on "
                f"{need.memory.device}, which has {readable_size(need.memory.total)}: make a "
                f"smaller picture or fewer at a time{way}, or set {SETTING}=off to try all the same"
            )
            return
