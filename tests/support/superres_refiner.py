"""The small refiner of the authors' KandiSuperRes tests, whose form no published UNet has.

Its first convolution is as wide as its first level, and it is given text that is projected already.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any
from unittest import mock

import numpy as np

from kandinsky_core.arrays import Array
from kandinsky_core.configs import Kandinsky3UNetConfig
from tests.support.dict_tensors import DictTensors

__all__ = ["REFINERS"]


class RefinerConfig(Kandinsky3UNetConfig):
    """A UNet of Kandinsky 3 whose first convolution is as wide as its first level."""

    init_channels = property(lambda self: self.block_out_channels[0])


CONFIG = RefinerConfig(
    block_out_channels=(8, 8, 8, 16),
    groups=4,
    attention_head_dim=8,
    cross_attention_dim=16,
    encoder_hid_dim=16,
    time_embedding_dim=16,
)


def on_jax(tensors: Mapping[str, Array]) -> Any:
    """Load the refiner's tensors, which have this library's names, with JAX."""
    from kandinsky_core.seam.compilations import CompilationLog
    from kandinsky_jax.components.kandinsky3_denoise import JaxKandinsky3Denoiser
    from kandinsky_jax.networks import kandinsky3_unet
    from kandinsky_jax.placement.devices import default_device
    from kandinsky_jax.placement.places import OneDevice
    from kandinsky_jax.weights.load import load_weights
    from kandinsky_jax.weights.network_form import NetworkForm

    norm = "encoder_hid_proj.projection_norm"
    unread = {f"{norm}.{leaf}": np.zeros(16, np.float32) for leaf in ("weight", "bias")}
    unread["encoder_hid_proj.projection_linear.weight"] = np.zeros((16, 16), np.float32)
    path = "kandinsky_jax.networks.kandinsky3_unet:Kandinsky3UNet"
    form = NetworkForm(path, CONFIG, "float32", whole=False)  # no inventory knows this one
    read = load_weights(form, DictTensors({**tensors, **unread}))

    class Unprojected(JaxKandinsky3Denoiser):
        def begin(self, *given: Any, **options: Any) -> Any:
            with mock.patch.object(
                kandinsky3_unet.TextProjection, "__call__", lambda _, states: states
            ):
                return super().begin(*given, **options)

    place = OneDevice(default_device())
    return Unprojected(form, read, place=place, log=CompilationLog())


class _HalvedLater(int):
    """A width that mindone halves for the first convolution, where this refiner does not."""

    halved = False

    def __floordiv__(self, divisor: int) -> int:
        if self.halved:
            return int(self) // divisor
        self.halved = True
        return int(self)


def on_mindspore(tensors: Mapping[str, Array]) -> Any:
    """Load the refiner's tensors, which have this library's names, with MindSpore."""
    from mindspore import nn

    from kandinsky_mindspore.components.denoise import MindSporeKandinsky3UNet
    from kandinsky_mindspore.cpu import cpu_ops
    from kandinsky_mindspore.networks.build import build_network
    from kandinsky_mindspore.placement.devices import select_device
    from kandinsky_mindspore.weights.load import fill_network

    place = select_device(None)
    cpu_ops.install()
    first, *others = CONFIG.block_out_channels
    cell = build_network(
        dataclasses.replace(CONFIG, block_out_channels=(_HalvedLater(first), *others))
    )
    cell.encoder_hid_proj = nn.Identity()
    fill_network(cell, CONFIG.CLASS_NAME, DictTensors(dict(tensors)), "float32")
    return MindSporeKandinsky3UNet(cell, CONFIG, device=place)


REFINERS: Mapping[str, Callable[[Mapping[str, Array]], Any]] = {
    "jax": on_jax,
    "mindspore": on_mindspore,
}
"""Loads the refiner by the name of a backend."""
