"""Reads and replaces single weights of a filled network, under PyTorch's names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import mindspore as ms
import numpy as np

from kandinsky_backend_kit.quantized_rows import dequantized_rows
from kandinsky_core.arrays import Array
from kandinsky_mindspore.weights.load import layers_in_eight_bits, owned, parameters_by_name

__all__ = ["read_weights", "weight_shapes", "write_weights"]


def weight_shapes(cell: Any) -> dict[str, tuple[int, ...]]:
    """Return PyTorch's name and shape of each parameter."""
    return {name: tuple(found.shape) for name, found in parameters_by_name(cell).items()}


def read_weights(cell: Any, names: Iterable[str]) -> dict[str, Array]:
    """Return copies of some weights; those in 8 bits as the numbers that they stand for.

    Args:
        cell: A filled network of mindone.
        names: PyTorch's names of the weights.

    Raises:
        KeyError: There are no such weights; the error holds all their names.
    """
    parameters = parameters_by_name(cell)
    wanted = set(names)
    if not wanted <= parameters.keys():
        raise KeyError(*sorted(wanted - parameters.keys()))
    rounded = layers_in_eight_bits(cell)
    return {
        name: np.array(parameters[name].asnumpy())
        if name not in rounded
        else dequantized_rows(parameters[name].asnumpy(), rounded[name].steps.asnumpy())
        for name in sorted(wanted)
    }


def write_weights(cell: Any, values: Mapping[str, Array], dtype: str) -> None:
    """Replace some weights.

    Args:
        cell: A filled network of mindone.
        values: The new weights by PyTorch's names, in its layout.
        dtype: The dtype of the network.
    """
    parameters = parameters_by_name(cell)
    for name, array in values.items():
        parameters[name].set_data(ms.Tensor.from_numpy(np.array(owned(array, dtype))))
