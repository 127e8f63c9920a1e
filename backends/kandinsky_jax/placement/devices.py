"""Finds JAX's devices by the names that users of other frameworks know."""

from __future__ import annotations

import re

import jax

from kandinsky_backend_kit.own_process import in_own_process
from kandinsky_core.errors import BackendUnavailableError

__all__ = [
    "compute_capability",
    "default_device",
    "device_name",
    "device_platform",
    "find_device",
    "local_devices",
]

_PLATFORMS = {"cuda": "gpu", "rocm": "gpu"}


def local_devices() -> list[jax.Device]:
    """Return the devices of this process, those of the platform that JAX prefers.

    Raises:
        BackendUnavailableError: JAX cannot start a platform that the environment or the caller
            asks for, or this process was forked from one that loaded models.
    """
    in_own_process()
    try:
        return list(jax.local_devices())
    except (RuntimeError, AssertionError) as error:  # the latter where no plugin has the platform
        platforms: str | None = jax.config.values["jax_platforms"]
        asked = f"JAX_PLATFORMS={platforms!r}: " if platforms else ""
        reason = " ".join(str(error).split()) or "there is none of that platform"
        raise BackendUnavailableError(
            f"{asked}JAX cannot start its devices ({reason}): "
            + ("leave JAX_PLATFORMS out, or " if platforms else "")
            + "install the jax build for that accelerator and its driver"
        ) from error


def default_device() -> jax.Device:
    """Return the device that JAX would take: the caller's `jax_default_device`, if there is one.

    Else it is an accelerator where there is one.

    Raises:
        BackendUnavailableError: See `local_devices`.
    """
    devices = local_devices()
    chosen = jax.config.values["jax_default_device"]
    if isinstance(chosen, str):
        return find_device(chosen)
    return devices[0] if chosen is None else chosen


def compute_capability(device: jax.Device) -> tuple[int, int] | None:
    """Return what an NVIDIA GPU says of its generation, (9, 0) for `9.0`; None of other devices."""
    said = re.fullmatch(r"(\d+)\.(\d+)", str(getattr(device, "compute_capability", "")))
    return (int(said[1]), int(said[2])) if said else None


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
    seen = ", ".join(map(device_name, local_devices()))
    try:
        devices = jax.local_devices(backend=platform)
        return devices[int(index or 0)]
    except (RuntimeError, IndexError, ValueError) as error:
        raise BackendUnavailableError(
            f"JAX sees no device {name!r}; it sees {seen}"
            + ("" if platform == "cpu" else ": is the jax build for that accelerator installed?")
        ) from error
