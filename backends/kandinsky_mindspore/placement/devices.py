"""Chooses the one device that MindSpore has in a process: an Ascend NPU where there is one."""

from __future__ import annotations

import contextlib
import logging
import os
from typing import Any

import mindspore as ms

from kandinsky_core.errors import BackendUnavailableError, InvalidInputError
from kandinsky_core.seam.dtypes import safe_dtype

__all__ = [
    "DEVICE_VARIABLE",
    "ascend_available",
    "check_dtype",
    "network_dtype",
    "parse_device",
    "select_device",
    "visible_devices",
]

logger = logging.getLogger(__name__)

# The environment's choice: `cpu`, `ascend` or `ascend:1`. MindSpore cannot change its device later.
DEVICE_VARIABLE = "KANDINSKY_MINDSPORE_DEVICE"

_NAMES = {"cpu": "cpu", "ascend": "ascend", "npu": "ascend"}


def ascend_available() -> bool:
    """Whether MindSpore finds an NPU, with its driver and CANN."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)  # MindSpore warns of each library that it does not find
    try:
        return bool(ms.device_context.ascend.is_available())
    finally:
        logging.disable(disabled)


def parse_device(name: str) -> tuple[str, int | None]:
    """Take a name such as `npu:1` apart: `("ascend", 1)`.

    Raises:
        BackendUnavailableError: MindSpore has no such kind of device.
    """
    kind, colon, index = name.lower().partition(":")
    if kind not in _NAMES or (colon and not index.isdecimal()) or (kind == "cpu" and index > "0"):
        raise BackendUnavailableError(
            f"MindSpore has no device {name!r}: choose cpu, ascend or ascend:N"
        )
    return _NAMES[kind], int(index) if index else None


def visible_devices() -> tuple[str, ...]:
    """Return the names of all devices that a process may choose from, the default first."""
    count = ms.device_context.ascend.device_count() if ascend_available() else 0
    return (*(f"ascend:{index}" for index in range(count)), "cpu")


def select_device(wanted: str | None = None) -> str:
    """Choose the device of this process, once, and set MindSpore up for it.

    Args:
        wanted: `cpu`, `ascend` or `ascend:1`. None takes the environment's
            `KANDINSKY_MINDSPORE_DEVICE`, else the device that the process has, else an NPU if
            there is one. Without a number MindSpore itself chooses the NPU, as `msrun` needs.

    Returns:
        `cpu`, or `ascend:N`.

    Raises:
        BackendUnavailableError: There is no such device, or the process has another one already.
    """
    asked = wanted or os.environ.get(DEVICE_VARIABLE)
    kind, index = parse_device(asked or ("ascend" if ascend_available() else "cpu"))
    if kind == "ascend" and not ascend_available():
        raise BackendUnavailableError(
            f"device {asked!r}: MindSpore finds no Ascend NPU; install CANN and source its "
            "set_env.sh, or use cpu"
        )
    before = ms.get_current_device()
    try:
        ms.set_device({"cpu": "CPU", "ascend": "Ascend"}[kind], index)
    except RuntimeError as error:  # the process has a device, set or used before
        with contextlib.suppress(RuntimeError):
            ms.set_device(*before)  # the call that failed has half changed it
        if asked and not _is(_name(before), kind, index):
            raise BackendUnavailableError(
                f"MindSpore runs on {_name(before)} in this process and cannot change to "
                f"{asked!r}: use another process"
            ) from error
    device = _name(ms.get_current_device())
    if device == "cpu":
        # MindSpore's queue gains nothing on a CPU, and a step takes five times as long with it. On
        # an NPU the queue keeps the device busy.
        ms.runtime.launch_blocking()
    else:
        with contextlib.suppress(RuntimeError):  # the user has said otherwise
            # CANN by default rounds the factors of float32 convolutions to 11 bits.
            ms.device_context.ascend.op_precision.conv_allow_hf32(False)
    return device


def _name(device: Any) -> str:
    """Return `cpu` or `ascend:1` for MindSpore's pair of target and number."""
    target, index = device
    return "cpu" if target == "CPU" else f"{target.lower()}:{index}"


def _is(device: str, kind: str, index: int | None) -> bool:
    """Whether a device has this kind and number; without a number any device of the kind does."""
    return device == (kind if index is None or kind == "cpu" else f"{kind}:{index}") or (
        index is None and device.startswith(f"{kind}:")
    )


def check_dtype(dtype: str, device: str) -> None:
    """Refuse a dtype that a device cannot compute in.

    Raises:
        InvalidInputError: bfloat16 on a CPU, where MindSpore has no kernels for it.
    """
    if dtype == "bfloat16" and device == "cpu":
        raise InvalidInputError(
            "dtype 'bfloat16' does not run on MindSpore's CPU: use float32 (float16 runs, slowly), "
            "or backend='jax'"
        )


def network_dtype(class_name: str, dtype: str, device: str) -> str:
    """Return the dtype that a network computes in on a device when it is asked for `dtype`.

    For T5 float16 becomes bfloat16, or float32 on a CPU.

    Raises:
        InvalidInputError: The device cannot compute in this dtype.
    """
    chosen = safe_dtype(class_name, dtype)
    if chosen != dtype and device == "cpu":
        logger.info("%s computes in float32: a CPU has no bfloat16 here", class_name)
        chosen = "float32"
    check_dtype(chosen, device)
    return chosen
