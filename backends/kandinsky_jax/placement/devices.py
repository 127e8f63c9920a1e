"""Finds JAX's devices by the names that users of other frameworks know."""

from __future__ import annotations

import jax

from kandinsky_core.errors import BackendUnavailableError

__all__ = ["default_device", "device_name", "device_platform", "find_device"]

_PLATFORMS = {"cuda": "gpu", "rocm": "gpu"}


def default_device() -> jax.Device:
    """Return the device that JAX would take: an accelerator where there is one."""
    return jax.local_devices()[0]


def device_name(device: jax.Device) -> str:
    """Return `cpu`, `gpu:0`, `tpu:3`; also `cpu:1`, where JAX divides a CPU into several."""
    if device.platform == "cpu":
        return f"cpu:{device.local_hardware_id}" if device.local_hardware_id else "cpu"
    return f"{device.platform}:{device.id}"


def device_platform(name: str) -> str:
    """Return JAX's name for a kind of device, `gpu` for `cuda`; a name with an index stays."""
    kind = name.lower()
    return _PLATFORMS.get(kind, kind)


def find_device(name: str) -> jax.Device:
    """Return a device by name: `cpu`, `gpu`, `cuda:1`, `tpu:0`.

    Raises:
        BackendUnavailableError: JAX does not see it; the message lists what it sees.
    """
    kind, _, index = name.lower().partition(":")
    platform = device_platform(kind)
    try:
        devices = jax.local_devices(backend=platform)
        return devices[int(index or 0)]
    except (RuntimeError, IndexError, ValueError) as error:
        seen = ", ".join(device_name(device) for device in jax.local_devices())
        raise BackendUnavailableError(
            f"JAX sees no device {name!r}; it sees {seen}"
            + ("" if platform == "cpu" else ": is the jax build for that accelerator installed?")
        ) from error
