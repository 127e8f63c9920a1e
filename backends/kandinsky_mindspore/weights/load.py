"""Fills mindone's networks from a checkpoint."""

from __future__ import annotations

import math
from typing import Any

import mindspore as ms
import numpy as np

from kandinsky_converters.layouts.accounting import account
from kandinsky_converters.layouts.ahead import ahead
from kandinsky_converters.layouts.layouts import with_layout
from kandinsky_converters.layouts.leaf_rules import MINDSPORE_RULES
from kandinsky_converters.layouts.numbers import all_finite, cast, fill, refuse_non_finite
from kandinsky_core.arrays import Array
from kandinsky_core.seam.stored_dtypes import BY_NAME
from kandinsky_core.seam.tensors import Tensors

__all__ = ["fill_network", "owned", "parameters_by_name"]


def fill_network(network: Any, class_name: str, tensors: Tensors, dtype: str) -> None:
    """Give each parameter its value from a checkpoint, without mindone's loader.

    Args:
        network: The result of `build_network`.
        class_name: The network's class, for the accounting and its messages.
        tensors: The checkpoint, in any layout. A tensor stored in `dtype` stays where
            `tensors.read` has it; none is held twice.
        dtype: The dtype of all parameters; files in another precision are cast.

    Raises:
        CheckpointError: The checkpoint does not fit; raised before any data is read. Or a value
            is NaN or infinite, or becomes so in `dtype`.
    """
    parameters = parameters_by_name(network)
    shapes = {name: tuple(parameter.shape) for name, parameter in parameters.items()}
    tensors = with_layout(tensors, "diffusers")
    found = account(class_name, shapes, tensors)
    kind = BY_NAME[dtype].numpy

    def size(stored: str) -> int:
        return int(kind.itemsize * math.prod(shapes[found[stored]]))

    with refuse_non_finite(class_name, dtype) as note:
        for stored, (array, finite) in ahead(
            found, size, lambda name: _owned_and_finite(tensors.read(name), dtype)
        ):
            note(stored, finite)
            parameter = parameters[found[stored]]
            parameter.set_dtype(getattr(ms, dtype))  # costs nothing before there is data
            parameter.set_data(ms.Tensor.from_numpy(array))


def parameters_by_name(network: Any) -> dict[str, Any]:
    """Return the parameters by their names in PyTorch."""
    found = {}
    for path, parameter in network.parameters_and_names():
        cell, dot, leaf = path.rpartition(".")
        rule = MINDSPORE_RULES.rule_for(leaf, parameter.ndim)
        found[f"{cell}{dot}{rule.torch_leaf}"] = parameter
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
