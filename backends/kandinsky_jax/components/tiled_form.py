"""Makes a second form of a UNet, which convolves with `winograd` and is faster on a CPU."""

from __future__ import annotations

import functools
import itertools
import math
from collections import Counter
from typing import Any

import jax
from flax import nnx
from jax import Array

from kandinsky_core.configs import NetworkConfig
from kandinsky_core.seam.compilations import CompilationLog
from kandinsky_core.seam.compile_only import compiling_only
from kandinsky_jax.layers.products import multiplies_bfloat16
from kandinsky_jax.layers.winograd import DOUBLED_TILES, TILES, kernel_to_tiles
from kandinsky_jax.placement.places import Batch
from kandinsky_jax.programs.program import Program
from kandinsky_jax.weights.load import abstract_network

__all__ = ["tiled_form", "tiles_gain_in", "tiling_program", "worth_tiling"]

# Numbers in the kernels: smaller networks are so fast that a second compilation does not pay.
_SMALLEST = 50_000_000


def worth_tiling(module_class: type[nnx.Module], config: NetworkConfig) -> bool:
    """Whether a network has a tiled form, and is large enough to gain by it."""
    if not hasattr(module_class, "TILEABLE"):
        return False
    _, state = nnx.split(_abstract(module_class, config, "float32"))
    shapes = {path[:-2]: leaf.shape for path, leaf in nnx.to_flat_state(state) if _is_tile(path)}
    return bool(9 * sum(map(math.prod, shapes.values())) >= _SMALLEST)


def tiles_gain_in(dtype: str) -> bool:
    """Whether a CPU gains by tiles in a dtype; it does not where each step would widen them."""
    return dtype == "float32" or (dtype == "bfloat16" and multiplies_bfloat16())


def tiled_form(
    module_class: type[nnx.Module],
    config: NetworkConfig,
    dtype: str,
    weights: Any,
    program: Program,
    batch: Batch,
) -> tuple[Any, Any]:
    """Return graph and weights of the tiled form, which shares all weights except the kernels.

    Args:
        module_class: The network's class.
        config: Its config.
        dtype: The dtype of weights and factors.
        weights: The weights of the checkpoint's form, on one device.
        program: The result of `tiling_program`, which changes all kernels at once. Within
            `compile_only` it is compiled and not run, and the kernels' shapes are enough.
        batch: The batch of that device.
    """
    graph, state = nnx.split(_abstract(module_class, config, dtype))
    given = dict(nnx.to_flat_state(weights))
    variables = dict(nnx.to_flat_state(state))
    counts = Counter(path[:-2] for path in variables if _is_tile(path))
    layers = [[layer for layer in counts if counts[layer] == n] for n in (TILES, DOUBLED_TILES)]
    kernels = [[_value(given[(*layer, "kernel")]) for layer in kind] for kind in layers]
    change = program.shapes if compiling_only() else program
    made = itertools.chain.from_iterable(change(batch, None, *kernels))
    changed = dict(zip(itertools.chain.from_iterable(layers), made, strict=True))
    for path, variable in variables.items():
        value = changed[path[:-2]][int(str(path[-1]))] if _is_tile(path) else _value(given[path])
        variables[path] = variable.replace(value)
    return graph, nnx.from_flat_state(variables)


def _value(variable: Any) -> Any:
    """Return a variable's array, or its shape where it has no values."""
    (value,) = jax.tree.leaves(variable)
    return value


def _is_tile(path: tuple[Any, ...]) -> bool:
    return len(path) > 1 and path[-2] == "tiles"


def _abstract(module_class: Any, config: NetworkConfig, dtype: str) -> nnx.Module:
    network: nnx.Module = abstract_network(
        functools.partial(module_class, tiled=True), config, dtype=dtype
    )
    return network


def tiling_program(log: CompilationLog) -> Program:
    """Return the program that changes kernels to tiles."""

    def run(weights: None, whole: list[Array], doubled: list[Array]) -> tuple[list[Any], ...]:
        return (
            [kernel_to_tiles(kernel) for kernel in whole],
            [kernel_to_tiles(kernel, doubled=True) for kernel in doubled],
        )

    return Program("kernels to tiles", run, log)
