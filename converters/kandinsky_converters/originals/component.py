"""A component whose original files are opened when it is first used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from kandinsky_converters.parts import Part
from kandinsky_core.arrays import Array
from kandinsky_core.checkpoints.checkpoint import Component
from kandinsky_core.seam.tensors import Tensors

__all__ = ["OriginalComponent"]


@dataclass(frozen=True, kw_only=True)
class OriginalComponent(Component):
    """A component whose files are opened when it is first used.

    Attributes:
        opened: Opens the files.
    """

    opened: Callable[[], Part]

    @cached_property
    def part(self) -> Part:
        """The component in the form that the converter takes."""
        return self.opened()

    @property
    def config(self) -> dict[str, Any]:
        """See `Component.config`; a component without a config file has the published config."""
        return dict(self.part.config)

    def tensors(self) -> Tensors:
        """Return the weights under diffusers' names."""
        return self.part.tensors

    def null_embedding(self) -> Array | None:
        """See `Component.null_embedding`."""
        return self.part.null_embedding
