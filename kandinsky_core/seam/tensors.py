"""The source that a backend reads a component from: its config, and its tensors by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from kandinsky_core.arrays import Array

__all__ = ["ComponentSource", "Tensors"]


class Tensors(Protocol):
    """The weights of one component as they lie in its files: named, typed, read one at a time."""

    def names(self) -> Iterable[str]:
        """Return every tensor name."""
        ...

    def spec(self, name: str) -> tuple[tuple[int, ...], str]:
        """Return shape and safetensors dtype (`F32`, `F16`, `BF16`, `I64`, ...) without reading."""
        ...

    def read(self, name: str) -> Array:
        """Return the tensor's values, in PyTorch's layout and the stored dtype.

        The array may be a window into a file. Writing to it copies; the file never changes.
        """
        ...


class ComponentSource(Protocol):
    """The data that a backend needs to build one component."""

    @property
    def class_name(self) -> str:
        """Class in `model_index.json`, `UNet2DConditionModel` for example."""
        ...

    @property
    def config(self) -> Mapping[str, Any]:
        """Content of the component's config file."""
        ...

    def tensors(self) -> Tensors:
        """Open the component's weight files."""
        ...
