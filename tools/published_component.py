"""The facts about one component of a published repository."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Published"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """One component of one repository.

    Attributes:
        version: The version of Kandinsky.
        class_name: The class of the network.
        config: The fields of config.json that concern the network.
        tensors: How many tensors are stored.
        parameters: How many floating-point values they have.
        dtype: The dtype in which they are stored.
        kept_in_float32: Endings of tensors' names; a tensor with such a name is stored in float32.
        header_bytes: The position in the safetensors file where its data begins.
        bytes: Size of the safetensors file.
        buffers: Stored integers that the class no longer has.
        files: SHA-256 of each file by its name on the hub.
    """

    version: str
    class_name: str
    config: Mapping[str, Any]
    tensors: int
    parameters: int
    dtype: str = "F32"
    kept_in_float32: tuple[str, ...] = ()
    header_bytes: int | None = None
    bytes: int | None = None
    buffers: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
