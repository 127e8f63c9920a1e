"""What a backend and its networks tell of the memory of a device."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DeviceMemory"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceMemory:
    """The memory of a device.

    Attributes:
        device: The device's name.
        total: Bytes that this process may have there.
        free: Bytes of `total` that are free now; None where that is unknown.
        host: Whether it is the host's memory, where weights may be windows into their files.
        filled_by_load: Whether `Backend.load` brings weights there. If not, they come when they are
            used.
    """

    device: str
    total: int
    free: int | None
    host: bool
    filled_by_load: bool
