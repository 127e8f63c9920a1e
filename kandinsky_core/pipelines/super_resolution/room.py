"""Refuses pictures that are too large to be enlarged, by their sizes alone."""

from __future__ import annotations

from typing import Any

from kandinsky_core.memory.call_size import FLOAT, Need, host, require_room_for_call

__all__ = ["pixels_need", "require_room_by_size", "require_room_to_enlarge"]


def pixels_need(height: int, width: int) -> Need:
    """Return what an enlarged picture surely takes on the host.

    These are the sample, the enlarged picture, and a sum of windows.
    """
    return Need("the pixels", 3 * 3 * height * width * FLOAT, host())


def require_room_to_enlarge(width: int, height: int, scale: int) -> None:
    """Refuse a picture that surely needs more memory than the host has, once it is enlarged.

    Raises:
        DeviceMemoryError: It does.
    """
    height, width = height * scale, width * scale
    require_room_for_call(f"a picture of {width} x {height} pixels", [pixels_need(height, width)])


def require_room_by_size(image: Any, scale: int) -> None:
    """Look at the sizes of PIL pictures, one or a list, before a pixel of them is decoded.

    Raises:
        DeviceMemoryError: As for `require_room_to_enlarge`.
    """
    for one in image if isinstance(image, (list, tuple)) else [image]:
        if hasattr(one, "convert"):
            require_room_to_enlarge(one.width, one.height, scale)
