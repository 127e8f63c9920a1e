"""Networks of the JAX backend by themselves, built and filled, with their tensors' names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from flax import nnx

from kandinsky_core.configs import NetworkConfig
from kandinsky_jax.backend import CLASSES
from kandinsky_jax.weights.load import load_weights, rule_and_name
from kandinsky_jax.weights.network_form import NetworkForm, abstract_network, native_shapes

__all__ = ["expected_shapes", "filled_network", "form_of", "module_of", "torch_tensors"]


def form_of(config: NetworkConfig, dtype: str = "float32") -> NetworkForm:
    """The network that the backend loads for a config."""
    return NetworkForm(CLASSES[type(config)][0], config, dtype)


def module_of(config: NetworkConfig) -> Any:
    """The class of that network."""
    return form_of(config).network_class()


def filled_network(config: NetworkConfig, tensors: Any, *, dtype: str = "float32") -> Any:
    """Read a network's weights, and build the network around them."""
    form = form_of(config, dtype)
    return form.build(load_weights(form, tensors))


def expected_shapes(config: NetworkConfig) -> dict[str, tuple[int, ...]]:
    """PyTorch's name and shape of each parameter, by the attributes of the network's modules."""
    shapes = {}
    network = abstract_network(module_of(config), config, dtype="float32")
    for native, shape in native_shapes(network).items():
        rule, name = rule_and_name(native, len(shape))
        shapes[name] = rule.torch_shape(shape)
    return shapes


def torch_tensors(network: nnx.Module) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    """The network's parameters under PyTorch's names and in its layout: the way back."""
    for path, variable in nnx.to_flat_state(nnx.state(network, nnx.Param)):
        rule, name = rule_and_name(".".join(map(str, path)), len(variable.shape))
        yield name, rule.to_torch(np.asarray(variable[...]))
