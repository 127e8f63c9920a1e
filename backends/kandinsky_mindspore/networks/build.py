"""Builds mindone's networks without drawing random weights."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

from mindspore.nn.utils import no_init_parameters

from kandinsky_core.configs import (
    Kandinsky3ControlNetConfig,
    Kandinsky3UNetConfig,
    Kandinsky20UNetConfig,
    MT5Config,
    MultilingualCLIPConfig,
    NetworkConfig,
    SuperResUNetConfig,
    T5Config,
    UNet2DConditionConfig,
)
from kandinsky_core.configs.networks import unused_tensors
from kandinsky_mindspore.networks.kandinsky2_0_unet import build_kandinsky20_unet
from kandinsky_mindspore.networks.kandinsky3_unet import build_kandinsky3_unet
from kandinsky_mindspore.networks.super_resolution import KandinskySuperResUNet
from kandinsky_mindspore.runtime import mindone_class, mindone_module

__all__ = ["build_network"]

# mindone has no ControlNet of Kandinsky 3, which is made of the UNet's blocks. It has a class for
# mT5, where the tables have other names than in the same network of T5.
_INSTEAD: dict[type[NetworkConfig], type[NetworkConfig]] = {
    Kandinsky3ControlNetConfig: Kandinsky3UNetConfig,
    MT5Config: T5Config,
}


def build_network(config: NetworkConfig) -> Any:
    """Build mindone's class for a config. Its parameters have no values yet.

    Args:
        config: The network's config; its `CLASS_NAME` says which class.

    Returns:
        A MindSpore `Cell`, set to inference.
    """
    if isinstance(config, SuperResUNetConfig):  # our own cells
        with no_init_parameters():
            return KandinskySuperResUNet(config).set_train(False)
    if isinstance(config, Kandinsky20UNetConfig):
        with no_init_parameters():
            network_class = mindone_class(UNet2DConditionConfig.CLASS_NAME)
            return build_kandinsky20_unet(network_class, config).set_train(False)
    network_class = mindone_class(_INSTEAD.get(type(config), type(config)).CLASS_NAME)
    names = [field.name for field in dataclasses.fields(config)]  # type: ignore[arg-type]
    fields = {name: getattr(config, name) for name in names}
    config_class = getattr(network_class, "config_class", None)  # mindone.transformers has them
    with no_init_parameters(), _no_random_weights():
        if isinstance(config, Kandinsky3UNetConfig):
            network = build_kandinsky3_unet(network_class, config)
        elif config_class is None:
            network = network_class(**{**config.FIXED, **fields})
        else:
            network = network_class(config_class(**fields))
    if isinstance(config, MultilingualCLIPConfig):
        network.transformer.pooler = None  # mindone would run it, though nothing reads its result
    for name in unused_tensors(config.CLASS_NAME):
        _drop_parameter(network, name)
    network.set_train(False)
    return network


@contextlib.contextmanager
def _no_random_weights() -> Iterator[None]:
    """Keep mindone.transformers from drawing weights for parameters that have no memory yet."""
    modeling = mindone_module("mindone.transformers.modeling_utils")
    before, modeling._init_weights = modeling._init_weights, False
    try:
        yield
    finally:
        modeling._init_weights = before


def _drop_parameter(network: Any, name: str) -> None:
    """Remove a parameter that no pipeline uses and that therefore gets no value."""
    if name in dict(network.parameters_and_names()):
        path, _, leaf = name.rpartition(".")
        delattr(dict(network.cells_and_names())[path], leaf)
