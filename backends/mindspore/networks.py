"""mindone's networks, built without drawing weights and filled from a checkpoint."""

from __future__ import annotations

import dataclasses
from typing import Any

import mindspore as ms
import numpy as np
from mindspore.nn.utils import no_init_parameters

from backends.mindspore.runtime import mindone_class
from converters.accounting import UNUSED, account
from converters.leaf_rules import MINDSPORE_RULES
from kandinsky_core.configs import NetworkConfig
from kandinsky_core.interfaces import Array, Tensors

__all__ = ["build_network", "fill_network", "parameters_by_name"]


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
    with no_init_parameters():
        if config_class is None:
            network = network_class(**{**config.FIXED, **fields})
        else:
            network = network_class(config_class(**fields))
    for name in UNUSED.get(config.CLASS_NAME, ()):
        _drop_parameter(network, name)
    network.set_train(False)
    return network


def fill_network(network: Any, class_name: str, tensors: Tensors, dtype: str) -> None:
    """Give each parameter its value from a checkpoint, without mindone's loader.

    Args:
        network: Of `build_network`.
        class_name: For the accounting and its messages.
        tensors: The checkpoint. At most one tensor is held twice.
        dtype: Of all parameters; files in another precision are cast.

    Raises:
        CheckpointError: The checkpoint does not fit; raised before any data is read.
    """
    parameters = parameters_by_name(network)
    shapes = {name: tuple(parameter.shape) for name, parameter in parameters.items()}
    for stored, name in account(class_name, shapes, tensors).items():
        parameters[name].set_dtype(getattr(ms, dtype))  # costs nothing before there is data
        parameters[name].set_data(_tensor(tensors.read(stored), dtype))


def parameters_by_name(network: Any) -> dict[str, Any]:
    """Return the parameters by their names in PyTorch."""
    found = {}
    for path, parameter in network.parameters_and_names():
        cell, dot, leaf = path.rpartition(".")
        rule = MINDSPORE_RULES.rule_for(leaf, parameter.ndim)
        found[f"{cell}{dot}{rule.torch_leaf}"] = parameter
    return found


def _tensor(array: Array, dtype: str) -> Any:
    """A tensor of its own: MindSpore keeps the memory that it is given."""
    if dtype == "bfloat16":  # which NumPy lacks
        return ms.Tensor.from_numpy(np.array(array, np.float32)).astype(ms.bfloat16)
    return ms.Tensor.from_numpy(np.array(array, dtype, order="C"))


def _drop_parameter(network: Any, name: str) -> None:
    """Remove a parameter that no pipeline uses, and that so gets no value."""
    if name in dict(network.parameters_and_names()):
        path, _, leaf = name.rpartition(".")
        delattr(dict(network.cells_and_names())[path], leaf)
