"""Tells how much memory the device of this process has."""

from __future__ import annotations

from typing import Any

import mindspore as ms

from kandinsky_backend_kit.host_memory import host_memory
from kandinsky_core.seam.backend import DeviceMemory

__all__ = ["device_memory"]


def device_memory(device: str) -> DeviceMemory | None:
    """Return the device's memory in bytes, or None where MindSpore does not tell it.

    This has not yet run on an NPU.

    Args:
        device: The device of the process, `cpu` or `ascend:0` for example.
    """
    if device == "cpu":
        return host_memory()
    found = _properties(device)
    if found is not None and not found.total_memory:
        # An NPU tells its memory only after a first computation.
        (ms.mint.zeros(1) + 1).asnumpy()
        found = _properties(device)
    if found is None or not found.total_memory:
        return None
    return DeviceMemory(
        device=device,
        total=int(found.total_memory),
        free=int(found.free_memory),
        host=False,
        filled_by_load=False,
    )


def _properties(device: str) -> Any:
    """Return MindSpore's record, or None in a later version: MindSpore will remove the function."""
    ask = getattr(getattr(ms, "hal", None), "get_device_properties", None)
    return None if ask is None else ask(int(device.partition(":")[2] or 0))
