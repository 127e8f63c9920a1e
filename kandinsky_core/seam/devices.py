"""The names of devices: read from any framework's device object, and shown like one."""

from __future__ import annotations

from typing import Any

__all__ = ["DEVICE_KINDS", "DeviceName", "device_name"]

DEVICE_KINDS = ("cpu", "gpu", "cuda", "rocm", "tpu", "npu", "ascend")
_SAME = {"cuda": "gpu", "rocm": "gpu", "npu": "ascend"}


class DeviceName(str):
    """A device's name with the attributes of PyTorch's device object.

    It is text, `gpu:0` for example. It also equals the name that PyTorch has for the same device,
    and PyTorch's device object: `pipe.device == "cuda:0"`, `pipe.device.type == "cuda"`.
    """

    __slots__ = ()

    @property
    def type(self) -> DeviceName:
        """The kind of device: `cpu`, `gpu`, which equals `cuda`, `tpu`, or `ascend`."""
        return DeviceName(self.partition(":")[0])

    @property
    def index(self) -> Any:
        """The device's number; None where the name has none. Text has a method of this name."""
        number = self.partition(":")[2]
        return int(number) if number.isdecimal() else None

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str):
            return _plain(self) == _plain(other)
        name = device_name(other)
        return name is not None and _plain(self) == _plain(name)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = str.__hash__


def _plain(name: str) -> str:
    kind, colon, number = str.partition(name, ":")
    return f"{_SAME.get(kind, kind)}{colon}{number}"


def device_name(device: Any) -> str | None:
    """Return `cuda:0` for that name, `torch.device("cuda:0")` or a JAX device; else None."""
    if isinstance(device, str):
        return device.lower() if device.lower().split(":")[0] in DEVICE_KINDS else None
    kind = getattr(device, "platform", None) or getattr(device, "type", None)
    if not isinstance(kind, str) or kind not in DEVICE_KINDS:
        return None
    index = getattr(device, "id", None) if hasattr(device, "platform") else device.index
    return kind if index is None or kind == "cpu" else f"{kind}:{index}"
