"""mindone's networks, built without drawing weights and filled from a checkpoint."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

import mindspore as ms
import ml_dtypes
import numpy as np
from mindspore.nn.utils import no_init_parameters

from backends.mindspore.kandinsky3_unet import build_kandinsky3_unet
from backends.mindspore.runtime import mindone_class, mindone_module
from converters.accounting import UNUSED, account
from converters.layouts import with_layout
from converters.leaf_rules import MINDSPORE_RULES
from converters.numbers import cast, refuse_non_finite
from kandinsky_core.configs import Kandinsky3UNetConfig, NetworkConfig
from kandinsky_core.interfaces import Array, Tensors

__all__ = ["build_network", "fill_network", "owned", "parameters_by_name"]

# Parts that mindone runs though nothing reads what they give, and that so get no weights.
_UNUSED_CELLS = {"MultilingualCLIP": ("transformer.pooler",)}


def build_network(config: NetworkConfig) -> Any:
    """Build mindone's class for a config. Its parameters have no values yet.

    Args:
        config: Its `CLASS_NAME` says which class.

    Returns:
        A MindSpore `Cell`, set to inference.
    """
    network_class = mindone_class(config.CLASS_NAME)
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
    for path in _UNUSED_CELLS.get(config.CLASS_NAME, ()):
        parent, _, name = path.rpartition(".")
        setattr(dict(network.cells_and_names())[parent], name, None)
    for name in UNUSED.get(config.CLASS_NAME, ()):
        _drop_parameter(network, name)
    network.set_train(False)
    return network


def fill_network(network: Any, class_name: str, tensors: Tensors, dtype: str) -> None:
    """Give each parameter its value from a checkpoint, without mindone's loader.

    Args:
        network: Of `build_network`.
        class_name: For the accounting and its messages.
        tensors: The checkpoint, in any layout. What is stored in `dtype` stays where
            `tensors.read` has it; at most one other tensor is held twice.
        dtype: Of all parameters; files in another precision are cast.

    Raises:
        CheckpointError: The checkpoint does not fit; raised before any data is read. Or a value
            is NaN or infinite, or becomes so in `dtype`.
    """
    parameters = parameters_by_name(network)
    shapes = {name: tuple(parameter.shape) for name, parameter in parameters.items()}
    tensors = with_layout(tensors, "diffusers")
    with refuse_non_finite(class_name, dtype) as check:
        for stored, name in account(class_name, shapes, tensors).items():
            array = owned(tensors.read(stored), dtype)
            check(stored, array)
            parameters[name].set_dtype(getattr(ms, dtype))  # costs nothing before there is data
            parameters[name].set_data(ms.Tensor.from_numpy(array))


@contextlib.contextmanager
def _no_random_weights() -> Iterator[None]:
    """mindone.transformers draws weights even for parameters that have no memory yet."""
    modeling = mindone_module("mindone.transformers.modeling_utils")
    before, modeling._init_weights = modeling._init_weights, False
    try:
        yield
    finally:
        modeling._init_weights = before


def parameters_by_name(network: Any) -> dict[str, Any]:
    """Return the parameters by their names in PyTorch."""
    found = {}
    for path, parameter in network.parameters_and_names():
        cell, dot, leaf = path.rpartition(".")
        rule = MINDSPORE_RULES.rule_for(leaf, parameter.ndim)
        found[f"{cell}{dot}{rule.torch_leaf}"] = parameter
    return found


def owned(array: Array, dtype: str) -> Array:
    """What MindSpore may write into and hold on to: a window into a file costs nothing."""
    kind = ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype
    return np.require(cast(array, kind), requirements=("C", "ALIGNED", "WRITEABLE"))


def _drop_parameter(network: Any, name: str) -> None:
    """Remove a parameter that no pipeline uses, and that so gets no value."""
    if name in dict(network.parameters_and_names()):
        path, _, leaf = name.rpartition(".")
        delattr(dict(network.cells_and_names())[path], leaf)
