"""Compares `--height` and `--width` with the memory of the device, before any weights are read."""

from __future__ import annotations

import argparse
from types import SimpleNamespace
from typing import Any

from kandinsky_core.checkpoints.opened_model import OpenedModel
from kandinsky_core.configs import NETWORKS
from kandinsky_core.pictures.outputs import latent_size
from kandinsky_core.pipelines.shared.room import require_room_for_pictures
from kandinsky_core.seam.backend import Backend
from kandinsky_core.seam.devices import device_name
from kandinsky_core.seam.dtypes import pinned_dtype
from kandinsky_core.seam.networks import Tiling

__all__ = ["check_size"]


def check_size(options: argparse.Namespace, decoder: OpenedModel, backend: Backend) -> None:
    """Refuse a picture that is surely too large, by the configs of a decoder's networks.

    A pipeline's call checks its sizes more exactly. By then gigabytes may have been loaded.

    Raises:
        DeviceMemoryError: One picture of this size is too large.
        KandinskyError: A config is missing or damaged, or the device is not there.
    """
    if options.mesh is not None or (options.height is None and options.width is None):
        return
    memory = backend.memory(options.device and (device_name(options.device) or options.device))
    networks: dict[str, Any] = {}
    autoencoder = "vae" if "vae" in decoder.checkpoint.components else "movq"  # 2.0's other name
    for name, source in decoder.components(["unet", autoencoder]).items():
        if source.class_name not in NETWORKS:
            return  # loading says what is wrong with it
        networks[name] = SimpleNamespace(
            config=NETWORKS[source.class_name].config.from_dict(source.config),
            dtype=pinned_dtype(source.class_name, options.dtype),
            memory=lambda: memory,
        )
    unet, movq = networks["unet"], networks[autoencoder]
    factor = movq.scale_factor = 2 ** (len(movq.config.block_out_channels) - 1)
    tile = options.movq_tile_size
    movq.tiling = None if tile is None else Tiling(tile // factor, 0, factor)
    # Kandinsky 3's config does not tell the model's own size: one cell is the least it may be.
    own = getattr(unet.config, "sample_size", None) or 1
    height, width = (_largest(side, own * factor) for side in (options.height, options.width))
    plan: Any = SimpleNamespace(
        height=height,
        width=width,
        guided=False,
        output_type="pil",
        latent_shape=(
            movq.config.latent_channels,
            latent_size(height, factor),
            latent_size(width, factor),
        ),
    )
    require_room_for_pictures(unet, movq, plan, 1)


def _largest(side: int | list[int] | None, own: int) -> int:
    """Return a side in pixels, by default the model's own; `kandinsky warmup` takes several."""
    return max(side) if isinstance(side, list) else side or own
