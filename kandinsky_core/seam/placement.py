"""Reads where a script sends a network or a pipeline: the arguments of PyTorch's `to`."""

from __future__ import annotations

import logging
from typing import Any

from kandinsky_core.errors import InvalidInputError
from kandinsky_core.seam.devices import DEVICE_KINDS, device_name
from kandinsky_core.seam.dtypes import DTYPES, dtype_name, is_dtype

__all__ = ["read_placement"]

logger = logging.getLogger(__name__)

_OPTIONS = ("copy", "memory_format", "non_blocking", "silence_dtype_warnings")


def read_placement(
    targets: tuple[Any, ...], device: Any, dtype: Any, options: dict[str, Any]
) -> tuple[str | None, str | None]:
    """Return the device and the dtype that a call of `to` names; None for what it leaves alone.

    Args:
        targets: Devices and dtypes in any order, by name or as objects of any framework. A whole
            number is a GPU's; None and a truth value (PyTorch's `non_blocking`) say nothing.
        device: The device by keyword.
        dtype: The dtype by keyword.
        options: Further options of PyTorch's `to`, which are logged and change nothing.

    Raises:
        InvalidInputError: Something is neither a device nor a dtype, or an option is not PyTorch's.
    """
    unknown = sorted(set(options) - set(_OPTIONS))
    if unknown:
        raise InvalidInputError(
            f"to() does not take {', '.join(unknown)}: give device=, dtype=, {', '.join(_OPTIONS)}"
        )
    for name in options:
        logger.info("to(%s=...) changes nothing: the backend lays arrays out itself", name)
    for target in targets:
        if target is None or isinstance(target, bool):
            continue
        if device_name(target) is not None or isinstance(target, int):
            device = target
        elif is_dtype(target):
            dtype = target
        else:
            raise InvalidInputError(
                f"to({target!r}): neither a device ({', '.join(DEVICE_KINDS)}) nor a dtype "
                f"({', '.join(DTYPES)})"
            )
    return _place(device), None if dtype is None else dtype_name(dtype)


def _place(device: Any) -> str | None:
    if device is None:
        return None
    if isinstance(device, int) and not isinstance(device, bool):
        return f"gpu:{device}"
    return device_name(device) or str(device)
