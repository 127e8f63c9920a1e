"""Reads and replaces single weights of a network, under PyTorch's names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kandinsky_converters.layouts.numbers import cast
from kandinsky_core.arrays import Array
from kandinsky_jax.placement.places import Weights, leaf_of
from kandinsky_jax.weights.load import rule_and_name
from kandinsky_jax.weights.quantized import STEPS, dequantized, steps_of

__all__ = ["read_weights", "weight_shapes", "with_weights"]


def weight_shapes(weights: Weights) -> dict[str, tuple[int, ...]]:
    """Return PyTorch's name and shape of each weight."""
    shapes = {}
    for native, array in weights.items():
        if native.endswith(STEPS):
            continue
        rule, name = rule_and_name(native, len(array.shape))
        shapes[name] = rule.torch_shape(tuple(array.shape))
    return shapes


def read_weights(
    weights: Weights, names: Iterable[str], get: Callable[[Any], Any], dtype: np.dtype[Any]
) -> dict[str, Array]:
    """Return copies of some weights, in PyTorch's layout.

    Args:
        weights: The weights, on a device or the host.
        names: PyTorch's names of the ones to read.
        get: A function that copies an array to the host.
        dtype: The dtype of what weights in 8 bits stand for; the others have their own.

    Raises:
        KeyError: There are no such weights; the error holds all their names.
    """
    found = {}
    wanted = set(names)
    for native, array in weights.items():
        rule, name = rule_and_name(native, len(array.shape))
        if name in wanted and steps_of(native) in weights:
            found[name] = dequantized(weights, native, rule, lambda one: get(_apart(one))).astype(
                dtype
            )
        elif name in wanted and not native.endswith(STEPS):
            found[name] = np.array(rule.to_torch(np.asarray(get(_apart(array)))))
    if len(found) < len(wanted):
        raise KeyError(*sorted(wanted - set(found)))
    return found


def _apart(value: Any) -> Any:
    """Return another object for the same values on a device.

    JAX keeps the host's copy of values with the object that was copied. With the network's own
    objects, reading all weights would leave a second copy of them on the host.
    """
    single = isinstance(value, jax.Array) and len(value.devices()) == 1
    return value.addressable_data(0) if single else value


def with_weights(
    weights: Weights, values: Mapping[str, Array], place: Callable[[str, Any], Any]
) -> Weights:
    """Return the weights with some of them replaced.

    Args:
        weights: The weights.
        values: The new ones by PyTorch's names, in its layout.
        place: A function that brings an array to where the others are, from the last part of the
            array's name and the array.
    """
    changed = dict(weights)
    for native, old in weights.items():
        rule, name = rule_and_name(native, len(old.shape))
        if name in values:
            dtype = jnp.dtype(old.dtype)
            array = np.array(cast(rule.to_backend(np.asarray(values[name])), dtype))
            changed[native] = place(leaf_of(native), array)
    return changed
