"""Makes a second form of a UNet, which convolves with `winograd` and is faster on a CPU."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from dataclasses import replace
from typing import Any

from jax import Array

from kandinsky_core.configs import (
    Kandinsky3UNetConfig,
    SuperResUNetConfig,
    UNet2DConditionConfig,
)
from kandinsky_core.seam.compilations import CompilationLog
from kandinsky_core.seam.compile_only import compiling_only
from kandinsky_jax.layers.products import multiplies_bfloat16
from kandinsky_jax.layers.winograd import DOUBLED_TILES, TILES, kernel_to_tiles
from kandinsky_jax.placement.places import Batch, Weights, leaf_of
from kandinsky_jax.programs.program import Program
from kandinsky_jax.weights.network_form import NetworkForm

__all__ = ["Tiled", "tileable", "tiled_form", "tiles_gain_in", "tiling_program", "worth_tiling"]

Tiled = tuple[NetworkForm, Weights]
"""The tiled form of a network, and its weights."""

_WITH_TILES = (Kandinsky3UNetConfig, SuperResUNetConfig, UNet2DConditionConfig)
# Numbers in the kernels: smaller networks are so fast that a second compilation does not pay.
_SMALLEST = 50_000_000


def tileable(form: NetworkForm) -> bool:
    """Whether a network has a tiled form; a UNet of one level has no tiles, like other classes."""
    return isinstance(form.config, _WITH_TILES) and any(map(_is_tile, _tiled(form).shapes()))


def worth_tiling(form: NetworkForm) -> bool:
    """Whether a network has a tiled form, and is large enough to gain by it."""
    if not isinstance(form.config, _WITH_TILES):
        return False
    kernels = (shape for shape in form.shapes().values() if shape[:-2] == (3, 3))
    if sum(map(math.prod, kernels)) < _SMALLEST:
        return False
    tiled = _tiled(form).shapes()
    shapes = {_layer(name): shape for name, shape in tiled.items() if _is_tile(name)}
    return 9 * sum(map(math.prod, shapes.values())) >= _SMALLEST


def tiles_gain_in(dtype: str) -> bool:
    """Whether a CPU gains by tiles in a dtype; it does not where each step would widen them."""
    return dtype == "float32" or (dtype == "bfloat16" and multiplies_bfloat16())


def tiled_form(form: NetworkForm, weights: Weights, program: Program, batch: Batch) -> Tiled:
    """Return the tiled form and its weights: all those of the network, with tiles for kernels.

    Args:
        form: The network as the checkpoint has it.
        weights: Its weights, on one device.
        program: The result of `tiling_program`, which changes all kernels at once. Within
            `compile_only` it is compiled and not run, and the kernels' shapes are enough.
        batch: The batch of that device.
    """
    tiled = _tiled(form)
    names = tiled.shapes()
    counts = Counter(_layer(name) for name in names if _is_tile(name))
    layers = [[layer for layer in counts if counts[layer] == n] for n in (TILES, DOUBLED_TILES)]
    kernels = [[weights[f"{layer}.kernel"] for layer in kind] for kind in layers]
    change = program.shapes if compiling_only() else program
    made = itertools.chain.from_iterable(change(batch, None, *kernels))
    changed = dict(zip(itertools.chain.from_iterable(layers), made, strict=True))
    return tiled, {
        name: changed[_layer(name)][int(leaf_of(name))] if _is_tile(name) else weights[name]
        for name in names
    }


def _tiled(form: NetworkForm) -> NetworkForm:
    return replace(form, tiled=True)


def _is_tile(name: str) -> bool:
    return name.split(".")[-2:-1] == ["tiles"]


def _layer(tile: str) -> str:
    return tile.rsplit(".", 2)[0]


def tiling_program(log: CompilationLog) -> Program:
    """Return the program that changes kernels to tiles."""

    return Program("kernels to tiles", _to_tiles, log)


def _to_tiles(weights: None, whole: list[Array], doubled: list[Array]) -> tuple[list[Any], ...]:
    return (
        [kernel_to_tiles(kernel) for kernel in whole],
        [kernel_to_tiles(kernel, doubled=True) for kernel in doubled],
    )
