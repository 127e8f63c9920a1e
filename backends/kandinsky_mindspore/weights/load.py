"""Fills mindone's networks from a checkpoint."""

from __future__ import annotations

import math
from typing import Any

import mindspore as ms
import numpy as np

from kandinsky_backend_kit.quantized_rows import quantized_rows
from kandinsky_converters.layouts.accounting import account
from kandinsky_converters.layouts.ahead import ahead
from kandinsky_converters.layouts.layouts import with_layout
from kandinsky_converters.layouts.leaf_rules import MINDSPORE_RULES
from kandinsky_converters.layouts.numbers import all_finite, cast, fill, refuse_non_finite
from kandinsky_core.arrays import Array
from kandinsky_core.seam.stored_dtypes import BY_NAME
from kandinsky_core.seam.tensors import Tensors
from kandinsky_mindspore.networks.eight_bits import ROWS, STEPS, EightBitLinear

__all__ = ["fill_network", "layers_in_eight_bits", "owned", "parameters_by_name"]


def fill_network(network: Any, class_name: str, tensors: Tensors, dtype: str) -> None:
    """Give each parameter its value from a checkpoint, without mindone's loader.

    Args:
        network: The result of `build_network`.
        class_name: The network's class, for the accounting and its messages.
        tensors: The checkpoint, in any layout. A tensor stored in `dtype` stays where
            `tensors.read` has it; none is held twice.
        dtype: The dtype of all parameters; files in another precision are cast. Weights in 8 bits
            are rounded from the files' own precision, and only their steps have this dtype.

    Raises:
        CheckpointError: The checkpoint does not fit; raised before any data is read. Or a value
            is NaN or infinite, or becomes so in `dtype`.
    """
    parameters, layers = parameters_by_name(network), layers_in_eight_bits(network)
    shapes = {name: tuple(parameter.shape) for name, parameter in parameters.items()}
    tensors = with_layout(tensors, "diffusers")
    found = account(class_name, shapes, tensors)
    kind = BY_NAME[dtype].numpy

    def size(stored: str) -> int:
        return int(kind.itemsize * math.prod(shapes[found[stored]]))

    def read(name: str) -> tuple[tuple[Array, ...], bool]:
        if found[name] in layers:
            rows, steps = quantized_rows(tensors.read(name), kind)
            return (rows, owned(steps, dtype)), all_finite(steps)
        array, finite = _owned_and_finite(tensors.read(name), dtype)
        return (array,), finite

    with refuse_non_finite(class_name, dtype) as note:
        for stored, (arrays, finite) in ahead(found, size, read):
            note(stored, finite)
            rounded = layers.get(found[stored])
            if rounded is None:
                _give(parameters[found[stored]], arrays[0], dtype)
            else:
                _give(rounded.rows, arrays[0], "int8")
                _give(rounded.steps, arrays[1], dtype)


def _give(parameter: Any, array: Array, dtype: str) -> None:
    parameter.set_dtype(getattr(ms, dtype))  # costs nothing before there is data
    parameter.set_data(ms.Tensor.from_numpy(array))


def layers_in_eight_bits(network: Any) -> dict[str, EightBitLinear]:
    """Return the layers with weights in 8 bits, by these weights' names in PyTorch."""
    return {
        f"{path}.weight": cell
        for path, cell in network.cells_and_names()
        if isinstance(cell, EightBitLinear)
    }


def parameters_by_name(network: Any) -> dict[str, Any]:
    """Return the parameters by their names in PyTorch, without the steps of weights in 8 bits."""
    found = {}
    for path, parameter in network.parameters_and_names():
        cell, dot, leaf = path.rpartition(".")
        if leaf == STEPS:
            continue
        rule = MINDSPORE_RULES.rule_for(leaf, parameter.ndim)
        name = "weight" if leaf == ROWS else rule.torch_leaf
        found[f"{cell}{dot}{name}"] = parameter
    return found


def owned(array: Array, dtype: str) -> Array:
    """Return an array that MindSpore may keep and write into; file windows are not copied."""
    return np.require(cast(array, BY_NAME[dtype].numpy), requirements=("C", "ALIGNED", "WRITEABLE"))


def _owned_and_finite(array: Array, dtype: str) -> tuple[Array, bool]:
    """Do what `owned` does, and tell whether all values are finite: one pass where it casts."""
    kind = BY_NAME[dtype].numpy
    if array.dtype == kind:
        kept = owned(array, dtype)
        return kept, all_finite(kept)
    made = np.empty(array.shape, kind)
    return made, fill(made, array)
