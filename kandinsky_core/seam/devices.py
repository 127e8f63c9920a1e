"""Reads the name of a device from any framework's device object."""

from __future__ import annotations

from typing import Any

__all__ = ["DEVICE_KINDS", "device_name"]

DEVICE_KINDS = ("cpu", "gpu", "cuda", "rocm", "tpu", "npu", "ascend")


def device_name(device: Any) -> str | None:
    """Return `cuda:0` for that name, `torch.device("cuda:0")` or a JAX device; else None."""
    if isinstance(device, str):
        return device.lower() if device.lower().split(":")[0] in DEVICE_KINDS else None
    kind = getattr(device, "platform", None) or getattr(device, "type", None)
    if not isinstance(kind, str) or kind not in DEVICE_KINDS:
        return None
    index = getattr(device, "id", None) if hasattr(device, "platform") else device.index
    return kind if index is None or kind == "cpu" else f"{kind}:{index}"
