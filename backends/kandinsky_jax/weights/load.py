"""Fills a network from a checkpoint in PyTorch's names and layouts, one tensor at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from flax import nnx
from jax.typing import DTypeLike

from kandinsky_converters.layouts.accounting import account
from kandinsky_converters.layouts.layouts import layout_of, with_layout
from kandinsky_converters.layouts.leaf_rules import JAX_RULES, LeafRule
from kandinsky_converters.layouts.numbers import recast, refuse_non_finite
from kandinsky_core.configs import NetworkConfig
from kandinsky_core.seam.tensors import Tensors
from kandinsky_jax.placement.devices import default_device
from kandinsky_jax.placement.places import OneDevice, Place

__all__ = [
    "abstract_network",
    "expected_shapes",
    "jax_dtype",
    "load_network",
    "native_shapes",
    "rule_and_name",
    "torch_tensors",
]

Network = TypeVar("Network", bound=nnx.Module)
Path = tuple[Any, ...]  # attribute names, and list positions as integers


def jax_dtype(dtype: DTypeLike) -> np.dtype[Any]:
    """Return the dtype of a name without asking NumPy.

    MindSpore, once imported, makes NumPy take `bfloat16` for MindSpore's own type; JAX refuses it.
    """
    return np.dtype(getattr(jnp, dtype) if isinstance(dtype, str) else dtype)


def abstract_network(
    module_class: Callable[..., Network], config: NetworkConfig, *, dtype: DTypeLike
) -> Network:
    """Build a network with shapes and dtypes in place of data, which costs no memory."""

    chosen = jax_dtype(dtype)

    def build() -> Network:
        return module_class(config, dtype=chosen, param_dtype=chosen)

    network: Network = nnx.eval_shape(build)
    return network


def expected_shapes(network: nnx.Module) -> dict[str, tuple[int, ...]]:
    """Return PyTorch's name and shape of each parameter of a network, abstract or filled."""
    shapes = {}
    for path, variable in _parameters(network):
        rule, name = rule_and_name(path, variable)
        shapes[name] = rule.torch_shape(tuple(variable.shape))
    return shapes


def native_shapes(network: nnx.Module) -> dict[str, tuple[int, ...]]:
    """Return the name in a file converted for JAX, and the shape, of each parameter."""
    return {
        ".".join(map(str, path)): tuple(variable.shape) for path, variable in _parameters(network)
    }


def load_network(
    module_class: Callable[..., Network],
    config: NetworkConfig,
    tensors: Tensors,
    *,
    dtype: DTypeLike,
    place: Place | None = None,
) -> Network:
    """Build a network and fill it from a checkpoint.

    Args:
        module_class: a network class of this backend.
        config: the network's config.
        tensors: the checkpoint, in any layout. At most one tensor is held on the host at a time.
            On a CPU a file that was converted for JAX is not copied at all: the parameters are
            windows into it.
        dtype: the dtype of parameters and computation; files in another precision are cast.
        place: where the parameters shall live; JAX's default device if none is given.

    Raises:
        CheckpointError: the checkpoint does not fit; raised before any data is read. Or a value
            is NaN or infinite, or becomes so in `dtype`.
    """
    network = abstract_network(module_class, config, dtype=dtype)
    graph, state = nnx.split(network)
    variables = dict(nnx.to_flat_state(state))
    places = {}
    for path, variable in variables.items():
        rule, name = rule_and_name(path, variable)
        places[name] = path, rule
    ours = layout_of(tensors) == "jax"
    tensors = with_layout(tensors, "diffusers")  # only views; rules turn ours back to the file's
    found = account(config.CLASS_NAME, expected_shapes(network), tensors)
    place = OneDevice(default_device()) if place is None else place
    with refuse_non_finite(config.CLASS_NAME, str(jax_dtype(dtype))) as check:
        for name, expected in found.items():
            path, rule = places[expected]
            stored = tensors.read(name)
            array = rule.to_backend(recast(stored, jax_dtype(dtype)))
            check(name, array)
            # JAX itself copies a transposed array, faster than NumPy would. On a CPU it keeps any
            # other array without a copy, but `stored` belongs to the checkpoint.
            if not ours and array.flags.c_contiguous and np.may_share_memory(array, stored):
                array = array.copy()
            variables[path] = variables[path].replace(place.put_weight(str(path[-1]), array))
    filled: Network = nnx.merge(graph, nnx.from_flat_state(variables))
    return filled


def torch_tensors(network: nnx.Module) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    """Yield the network's parameters under PyTorch's names and in its layout: the way back."""
    for path, variable in _parameters(network):
        rule, name = rule_and_name(path, variable)
        yield name, rule.to_torch(np.asarray(variable[...]))


def _parameters(network: nnx.Module) -> list[tuple[Path, Any]]:
    return list(nnx.to_flat_state(nnx.state(network, nnx.Param)))


def rule_and_name(path: Path, variable: Any) -> tuple[LeafRule, str]:
    """Return the rule of a parameter's layout in PyTorch, and its name there."""
    rule = JAX_RULES.rule_for(path[-1], len(variable.shape))
    return rule, ".".join(str(part) for part in (*path[:-1], rule.torch_leaf))
