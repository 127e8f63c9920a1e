"""The protocol of a backend: core asks it to load networks and to describe its devices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from kandinsky_core.seam.device_memory import DeviceMemory
from kandinsky_core.seam.networks import Network, T5TextEncoder
from kandinsky_core.seam.tensors import ComponentSource

__all__ = ["Backend", "BackendReport", "DeviceMemory"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendReport:
    """The description of one backend that `kandinsky backends` prints."""

    name: str
    available: bool
    versions: Mapping[str, str]
    devices: tuple[str, ...] = ()
    problem: str | None = None


class Backend(Protocol):
    """A framework that runs the networks. It is an object, so that two can live in one process.

    Attributes:
        name: Name that the backend is registered under.
        cache_folder: Folder, or address of a store, that keeps compiled programs for later
            processes; None where none does.
    """

    name: str
    cache_folder: str | Path | None

    def load(self, source: ComponentSource, dtype: str, device: str | None = None) -> Network:
        """Build the network of one component and fill it with its weights.

        Args:
            source: The component's class, config and weights.
            dtype: Name of the dtype to compute in.
            device: Name of the device; None takes the backend's own choice.

        Raises:
            BackendUnavailableError: The device is not there; raised before any weight is read.
            ConfigError: A config field is unknown or unsupported.
            CheckpointError: Tensors are missing, unexpected, misshapen or damaged.
        """
        ...

    def load_streamed(
        self, source: ComponentSource, dtype: str, device: str | None = None
    ) -> T5TextEncoder:
        """Prepare a text encoder of Kandinsky 3 that reads its files block by block at every call.

        Raises:
            BackendUnavailableError: The device is not there.
            CheckpointError: The checkpoint does not fit; no data has been read.
            ConfigError: A config field is unknown or unsupported, or the source is another network.
        """
        ...

    def memory(self, device: str | None = None) -> DeviceMemory | None:
        """Return the memory of a device; None where the framework does not tell.

        Args:
            device: Name of the device; None takes the backend's own choice.

        Raises:
            BackendUnavailableError: The device is not there.
        """
        ...

    def report(self) -> BackendReport:
        """Return the versions of the backend's packages and the devices that it sees."""
        ...
