"""Fills a network from a checkpoint in PyTorch's names and layouts, one tensor at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from flax import nnx
from jax.typing import DTypeLike

from converters.accounting import account
from converters.leaf_rules import JAX_RULES, LeafRule
from kandinsky_core.configs import NetworkConfig
from kandinsky_core.interfaces import Tensors

__all__ = ["abstract_network", "expected_shapes", "load_network", "torch_tensors"]

Network = TypeVar("Network", bound=nnx.Module)
Path = tuple[Any, ...]  # attribute names, and list positions as integers


def abstract_network(
    module_class: Callable[..., Network], config: NetworkConfig, *, dtype: DTypeLike
) -> Network:
    """The network with shapes and dtypes in place of data; costs no memory."""

    def build() -> Network:
        return module_class(config, dtype=dtype, param_dtype=dtype)

    network: Network = nnx.eval_shape(build)
    return network


def expected_shapes(network: nnx.Module) -> dict[str, tuple[int, ...]]:
    """The PyTorch name and shape of each parameter of a network, abstract or filled."""
    shapes = {}
    for path, variable in _parameters(network):
        rule, name = _rule_and_name(path, variable)
        shapes[name] = rule.torch_shape(tuple(variable.shape))
    return shapes


def load_network(
    module_class: Callable[..., Network],
    config: NetworkConfig,
    tensors: Tensors,
    *,
    dtype: DTypeLike,
    device: jax.Device | jax.sharding.Sharding | None = None,
) -> Network:
    """Build a network and fill it from a checkpoint.

    Args:
        module_class: a network class of this backend.
        config: of that network.
        tensors: the checkpoint. At most one tensor is held on the host at a time.
        dtype: of parameters and computation; files in another precision are cast.
        device: where the parameters shall live; JAX's default device if none is given.

    Raises:
        CheckpointError: the checkpoint does not fit; raised before any data is read.
    """
    network = abstract_network(module_class, config, dtype=dtype)
    graph, state = nnx.split(network)
    variables = dict(nnx.to_flat_state(state))
    places = {}
    for path, variable in variables.items():
        rule, name = _rule_and_name(path, variable)
        places[name] = path, rule
    found = account(config.CLASS_NAME, expected_shapes(network), tensors)
    for name, expected in found.items():
        path, rule = places[expected]
        array = _cast(rule.to_backend(tensors.read(name)), dtype)
        variables[path] = variables[path].replace(jax.device_put(array, device))
    filled: Network = nnx.merge(graph, nnx.from_flat_state(variables))
    return filled


def torch_tensors(network: nnx.Module) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    """The network's parameters under PyTorch's names and in its layout: the way back."""
    for path, variable in _parameters(network):
        rule, name = _rule_and_name(path, variable)
        yield name, rule.to_torch(np.asarray(variable[...]))


def _parameters(network: nnx.Module) -> list[tuple[Path, Any]]:
    return list(nnx.to_flat_state(nnx.state(network, nnx.Param)))


def _rule_and_name(path: Path, variable: Any) -> tuple[LeafRule, str]:
    rule = JAX_RULES.rule_for(path[-1], len(variable.shape))
    return rule, ".".join(str(part) for part in (*path[:-1], rule.torch_leaf))


def _cast(array: npt.NDArray[Any], dtype: DTypeLike) -> npt.NDArray[Any]:
    # Always a copy, in the order of the new axes: on a CPU JAX may keep the buffer that it is
    # given, and that must not be a window into a mapped file.
    return np.array(array, dtype=jnp.dtype(dtype), order="C", copy=True)
