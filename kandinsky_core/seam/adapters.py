"""What a pipeline asks of networks that take adapters (LoRA)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

__all__ = ["TakesAdapters"]


@runtime_checkable
class TakesAdapters(Protocol):
    """A network whose weights adapters change, and which gives its first weights back exactly."""

    @property
    def adapter_names(self) -> list[str]:
        """Names of the adapters that are loaded, in their order."""
        ...

    @property
    def chosen_adapters(self) -> list[str]:
        """Names of the active adapters; empty where none is loaded."""
        ...

    @property
    def fused_adapters(self) -> set[str]:
        """Names of the fused adapters."""
        ...

    @property
    def adapters_in_effect(self) -> list[tuple[str, float]]:
        """What the weights contain now: for each adapter what its file is called, and a factor."""
        ...

    def attach_adapter(
        self,
        layers: Mapping[str, Any],
        *,
        label: str,
        name: str | None = None,
        weight: float = 1.0,
        swap: bool = False,
    ) -> None:
        """Add an adapter by its matrices, and make it the only active one.

        Raises:
            InvalidInputError: The name is in use.
            CheckpointError: The matrices do not fit this network.
        """
        ...

    def set_adapters(self, adapter_names: Any, weights: Any = None) -> None:
        """Choose the active adapters and their weights."""
        ...

    def delete_adapters(self, adapter_names: Any) -> None:
        """Remove adapters."""
        ...

    def fuse_lora(
        self,
        lora_scale: float = 1.0,
        safe_fusing: bool = False,
        adapter_names: Sequence[str] | None = None,
    ) -> None:
        """Fuse adapters into the weights until they are unfused."""
        ...

    def unfuse_lora(self) -> None:
        """Undo `fuse_lora`."""
        ...

    def unload_lora(self) -> None:
        """Remove all adapters."""
        ...

    def disable_lora(self) -> None:
        """Switch all adapters off."""
        ...

    def enable_lora(self) -> None:
        """Switch the adapters on again."""
        ...
