"""Calls of diffusers' guides that decide where weights are, and how MoVQ takes large pictures."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kandinsky_core.errors import InvalidInputError
from kandinsky_core.seam.networks import Network
from kandinsky_core.seam.placement import read_placement

__all__ = ["MemoryCalls"]

logger = logging.getLogger(__name__)


class MemoryCalls:
    """Base of the pipelines: keeps weights off the device, and divides large pictures."""

    if TYPE_CHECKING:

        @property
        def components(self) -> dict[str, Any]:
            """Every component by name."""

        @property
        def networks(self) -> dict[str, Network]:
            """The components that hold weights."""

    def enable_model_cpu_offload(self, gpu_id: int | None = None, device: Any = None) -> None:
        """Keep the weights in host memory, and each network on the device only while it runs.

        Args:
            gpu_id: Number of the GPU that the networks run on.
            device: The device that they run on, by name or as any framework's object.

        Raises:
            BackendUnavailableError: The device is not there.
        """
        self._offload(device if device is not None else gpu_id)

    def enable_sequential_cpu_offload(self, gpu_id: int | None = None, device: Any = None) -> None:
        """Do what `enable_model_cpu_offload` does, as no backend moves single layers.

        Arguments and errors are those of `enable_model_cpu_offload`.
        """
        logger.info("enable_sequential_cpu_offload: whole networks are moved, not single layers")
        self._offload(device if device is not None else gpu_id)

    def enable_group_offload(
        self,
        onload_device: Any,
        offload_device: Any = "cpu",
        *args: Any,
        exclude_modules: str | Sequence[str] | None = None,
        **options: Any,
    ) -> None:
        """Do what `enable_model_cpu_offload` does, as no backend moves groups of layers.

        Args:
            onload_device: The device that the networks run on.
            offload_device: `cpu`: nothing else keeps weights.
            *args: Further arguments of diffusers' method, which change nothing here.
            exclude_modules: Names of networks that stay on the device.
            **options: Further arguments of diffusers' method, which change nothing here.

        Raises:
            BackendUnavailableError: The device is not there.
            InvalidInputError: The offload device is another than the CPU, or a name is unknown.
        """
        if read_placement((offload_device,), None, None, {})[0] != "cpu":
            raise InvalidInputError(f"offload_device={offload_device!r}: give 'cpu'")
        if options.get("offload_to_disk_path") is not None:
            raise InvalidInputError("offload_to_disk_path: weights stay in memory; leave it out")
        kept = (
            [exclude_modules] if isinstance(exclude_modules, str) else list(exclude_modules or ())
        )
        unknown = [name for name in kept if name not in self.components]
        if unknown:
            raise InvalidInputError(
                f"exclude_modules={unknown}: give names among {', '.join(self.networks)}"
            )
        logger.info("enable_group_offload: whole networks are moved, not groups of layers")
        self._offload(onload_device, kept)

    def remove_all_hooks(self) -> None:
        """Put all weights back on their devices, which ends what `enable_..._offload` began."""
        for network in self.networks.values():
            network.onload()

    def reset_device_map(self) -> None:
        """Do what `remove_all_hooks` does; a network stays on the device that it was loaded to."""
        self.remove_all_hooks()

    @property
    def hf_device_map(self) -> dict[str, str]:
        """The device of each network by its name, whether `device_map` was given or not."""
        return {name: str(network.device) for name, network in self.networks.items()}

    def enable_vae_tiling(self, tile_size: int = 512, overlap: int | None = None) -> None:
        """Convert large pictures with MoVQ tile by tile: `pipe.movq.enable_tiling()`.

        Args:
            tile_size: Side of a tile in pixels.
            overlap: Pixels that neighbours share; None takes a quarter of a tile.

        Raises:
            InvalidInputError: The pipeline has no MoVQ, or a size does not fit it.
        """
        self._movq("enable_vae_tiling").enable_tiling(tile_size, overlap)

    def disable_vae_tiling(self) -> None:
        """Convert pictures whole.

        Raises:
            InvalidInputError: The pipeline has no MoVQ.
        """
        self._movq("disable_vae_tiling").disable_tiling()

    def _movq(self, call: str) -> Any:
        movq = getattr(self, "movq", None)
        if movq is None:
            raise InvalidInputError(
                f"{call}: a {type(self).__name__} has no MoVQ; call its decoder"
            )
        return movq

    def _offload(self, where: Any, kept: Sequence[str] = ()) -> None:
        place = None if where is None else read_placement((where,), None, None, {})[0]
        for name, network in self.networks.items():
            if place is not None:
                network.to(device=place)
            if name not in kept:
                network.offload()
