"""Names a network by its class and config, and builds it only where a program of it is traced.

What the rest needs of a network, the names and shapes of its weights, is known without Flax. So a
process whose programs are on the disk imports no network and builds none.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from kandinsky_converters.inventory.expected import expected_tensors
from kandinsky_converters.layouts.layouts import native_name
from kandinsky_converters.layouts.leaf_rules import JAX_RULES
from kandinsky_core.configs import NetworkConfig
from kandinsky_core.configs.networks import unused_tensors
from kandinsky_core.seam.quantization import in_eight_bits
from kandinsky_jax.layers.attention import attention_of
from kandinsky_jax.placement.places import Weights, leaf_of
from kandinsky_jax.weights.kept_shapes import Shapes, kept_shapes
from kandinsky_jax.weights.quantized import steps_of

if TYPE_CHECKING:
    from flax import nnx

__all__ = ["NetworkForm", "abstract_network", "jax_dtype", "native_shapes"]


@dataclass(frozen=True)  # without slots, for `_parts`
class NetworkForm:
    """A network without its weights; equal forms have the same programs.

    Attributes:
        path: Where its class is, such as `kandinsky_jax.networks.prior:PriorTransformer`.
        config: Its config.
        dtype: Name of the dtype of its weights and of the computation.
        tiled: Whether its convolutions take tiles in place of kernels.
        whole: Whether it has all the weights of the config's network, or is a part of it.
        quantize: How weights are kept that need not be kept in the dtype; None keeps all in it.
        attention: Whether attention is computed by kernels; see `kandinsky_jax.create`.
    """

    path: str
    config: NetworkConfig
    dtype: str
    tiled: bool = False
    whole: bool = True
    quantize: str | None = None
    attention: str | None = None

    def network_class(self) -> Callable[..., nnx.Module]:
        """Import and return the network's class, or a function that makes it."""
        module, _, name = self.path.partition(":")
        found: Callable[..., nnx.Module] = getattr(import_module(module), name)
        chosen: dict[str, Any] = {"tiled": True} if self.tiled else {}
        if self.attention is not None:
            chosen["attend"] = attention_of(self.attention)
        return functools.partial(found, **chosen) if chosen else found

    def shapes(self) -> Shapes:
        """Return the name in a file for JAX, and the shape, of each weight."""
        return _shapes(self)

    def in_eight_bits(self) -> frozenset[str]:
        """Return the names of the weights that are kept in 8 bits."""
        return _in_eight_bits(self)

    def abstract(self) -> Weights:
        """Return the weights' shapes and dtypes in place of their values."""
        dtype, eight = jax_dtype(self.dtype), self.in_eight_bits()
        found: Weights = {}
        for name, shape in self.shapes().items():
            found[name] = jax.ShapeDtypeStruct(shape, np.int8 if name in eight else dtype)
            if name in eight:
                channels = shape[0 if leaf_of(name) == "embedding" else -1]
                found[steps_of(name)] = jax.ShapeDtypeStruct((channels,), np.float32)
        return found

    def build(self, weights: Mapping[str, Any]) -> Any:
        """Build the network around weights.

        Raises:
            ValueError: The weights have other names than the network's.
        """
        from flax import nnx

        graph, variables = self._parts
        weights = _paired(weights, self.in_eight_bits())
        if weights.keys() != variables.keys():
            differing = sorted(weights.keys() ^ variables.keys())
            raise ValueError(f"{self.path}: weights do not fit the network: {differing[:8]}")
        filled = (
            (path, variable.replace(weights[name])) for name, (path, variable) in variables.items()
        )
        return nnx.merge(graph, nnx.from_flat_state(filled))

    @functools.cached_property
    def _parts(self) -> tuple[Any, dict[str, tuple[Any, Any]]]:
        """The graph of the network, and path and variable of each parameter by its name."""
        from flax import nnx

        graph, state = nnx.split(_abstract(self))
        variables = nnx.to_flat_state(state)
        return graph, {_joined(path): (path, variable) for path, variable in variables}


@functools.cache
def _shapes(form: NetworkForm) -> Shapes:
    if form.tiled or not form.whole:
        return kept_shapes(form, lambda: native_shapes(_abstract(form)))
    class_name, found = form.config.CLASS_NAME, {}
    unused = unused_tensors(class_name)
    for name, shape in expected_tensors(class_name, form.config.to_dict()).items():
        if name not in unused:
            native = native_name("jax", name, len(shape))
            axes = JAX_RULES.rule_for(leaf_of(native), len(shape)).axes
            found[native] = shape if axes is None else tuple(shape[axis] for axis in axes)
    return dict(sorted(found.items(), key=lambda item: _path(item[0])))


@functools.cache
def _in_eight_bits(form: NetworkForm) -> frozenset[str]:
    if form.quantize is None:
        return frozenset()
    class_name, found = form.config.CLASS_NAME, set()
    for native, shape in form.shapes().items():
        cell, dot, leaf = native.rpartition(".")
        name = f"{cell}{dot}{JAX_RULES.rule_for(leaf, len(shape)).torch_leaf}"
        if in_eight_bits(class_name, name, len(shape)):
            found.add(native)
    return frozenset(found)


def _paired(weights: Mapping[str, Any], eight: frozenset[str]) -> Mapping[str, Any]:
    """Return the weights with each one in 8 bits beside its steps."""
    if not eight:
        return weights
    from kandinsky_jax.layers.quantized import Quantized

    pairs = {name: Quantized(weights[name], weights[steps_of(name)]) for name in eight}
    steps = set(map(steps_of, eight))
    return {name: leaf for name, leaf in weights.items() if name not in steps} | pairs


def _path(name: str) -> list[tuple[int, str]]:
    """Return what sorts names as Flax sorts the paths of parameters: lists by number."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in name.split(".")]


def _abstract(form: NetworkForm) -> Any:
    return abstract_network(form.network_class(), form.config, dtype=form.dtype)


def jax_dtype(dtype: DTypeLike) -> np.dtype[Any]:
    """Return the dtype of a name without asking NumPy.

    MindSpore, once imported, makes NumPy take `bfloat16` for MindSpore's own type; JAX refuses it.
    """
    return np.dtype(getattr(jnp, dtype) if isinstance(dtype, str) else dtype)


def abstract_network(
    module_class: Callable[..., Any], config: NetworkConfig, *, dtype: DTypeLike
) -> Any:
    """Build a network with shapes and dtypes in place of data, which costs no memory."""
    from flax import nnx

    chosen = jax_dtype(dtype)
    return nnx.eval_shape(lambda: module_class(config, dtype=chosen, param_dtype=chosen))


def native_shapes(network: nnx.Module) -> Shapes:
    """Return the name in a file converted for JAX, and the shape, of each parameter."""
    from flax import nnx

    parameters = nnx.to_flat_state(nnx.state(network, nnx.Param))
    return {_joined(path): tuple(variable.shape) for path, variable in parameters}


def _joined(path: tuple[Any, ...]) -> str:
    return ".".join(map(str, path))
