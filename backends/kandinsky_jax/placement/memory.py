"""Tells how much memory a device has, and explains in our own words when it does not suffice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import jax

from kandinsky_backend_kit.host_memory import host_memory
from kandinsky_core.errors import DeviceMemoryError
from kandinsky_core.seam.backend import DeviceMemory
from kandinsky_jax.placement.devices import device_name

__all__ = ["device_memory", "explain_out_of_memory"]

_WHILE_RUNNING = (
    "make a smaller picture or fewer at a time, load with dtype='bfloat16', or keep one network at "
    "a time there by enable_model_cpu_offload() (--offload)"
)
_WHILE_LOADING = (
    "load with dtype='bfloat16', with offload=True, which keeps one network at a time there, or on "
    "another device"
)


def device_memory(device: jax.Device) -> DeviceMemory | None:
    """Return a device's memory in bytes, or None where JAX does not tell it.

    On a GPU `total` is the part that XLA may take: three quarters of the memory, unless
    XLA_PYTHON_CLIENT_MEM_FRACTION says otherwise.
    """
    name = device_name(device)
    if device.platform == "cpu":
        return host_memory(name)
    try:
        found = device.memory_stats() or {}
    except RuntimeError:  # not every plugin counts
        return None
    total, used = found.get("bytes_limit"), found.get("bytes_in_use")
    if not total:
        return None
    free = None if used is None else total - used
    return DeviceMemory(device=name, total=total, free=free, host=False, filled_by_load=True)


@contextmanager
def explain_out_of_memory(device: str, *, loading: bool = False) -> Iterator[None]:
    """Turn XLA's report of too little memory into our own error.

    The report may come wherever a result is waited for.

    Args:
        device: The name of the device.
        loading: Whether a network is being loaded; else one is running.

    Raises:
        DeviceMemoryError: The device's memory did not suffice.
    """
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        reason = str(error).splitlines()[0]
        ways = _WHILE_LOADING if loading else _WHILE_RUNNING
        raise DeviceMemoryError(f"{device} has too little memory ({reason}): {ways}") from error
