"""Reads a network's weights from a checkpoint in PyTorch's names and layouts."""

from __future__ import annotations

import math
from typing import Any

import jax
import numpy as np

from kandinsky_converters.layouts.accounting import account
from kandinsky_converters.layouts.ahead import ahead
from kandinsky_converters.layouts.layouts import layout_of, with_layout
from kandinsky_converters.layouts.leaf_rules import JAX_RULES, LeafRule
from kandinsky_converters.layouts.numbers import all_finite, fill, refuse_non_finite
from kandinsky_converters.layouts.working_memory import WorkingMemory, aligned
from kandinsky_core.arrays import Array
from kandinsky_core.seam.tensors import Tensors
from kandinsky_jax.placement.devices import default_device
from kandinsky_jax.placement.places import OneDevice, Place, Weights, leaf_of
from kandinsky_jax.runtime import own_settings
from kandinsky_jax.weights.network_form import NetworkForm, jax_dtype
from kandinsky_jax.weights.quantized import read_quantized

__all__ = ["load_weights", "rule_and_name"]


def load_weights(form: NetworkForm, tensors: Tensors, place: Place | None = None) -> Weights:
    """Read the weights of a network from a checkpoint.

    Args:
        form: The network. Its dtype is that of the weights; files in another precision are cast.
            Weights that it keeps in 8 bits are rounded to them.
        tensors: The checkpoint, in any layout. Beside the weights, the tensors that are cast at
            the moment are held on the host; see `ahead`. On a CPU a file that was converted for
            JAX is not copied at all: the weights are windows into it.
        place: Where the weights shall lie; JAX's default device if none is given.

    Raises:
        CheckpointError: The checkpoint does not fit; raised before any data is read. Or a value
            is NaN or infinite, or becomes so in the dtype.
    """
    places, wanted = {}, {}
    for native, shape in form.shapes().items():
        rule, name = rule_and_name(native, len(shape))
        places[name] = native, rule
        wanted[name] = rule.torch_shape(shape)
    ours = layout_of(tensors) == "jax"
    tensors = with_layout(tensors, "diffusers")  # only views; rules turn ours back to the file's
    class_name, dtype = form.config.CLASS_NAME, jax_dtype(form.dtype)
    found = account(class_name, wanted, tensors)
    place = OneDevice(default_device()) if place is None else place
    eight = form.in_eight_bits()
    apart = {name: places[one] for name, one in found.items() if places[one][0] in eight}
    found = {name: one for name, one in found.items() if name not in apart}
    arrival = _Arrival(place, dtype, ours)
    # Over a mesh all processes must bring their weights in one order.
    threads = None if isinstance(place, OneDevice) else 1
    weights: Weights = {}
    with refuse_non_finite(class_name, str(dtype)) as note:

        def read(name: str) -> tuple[jax.Array, bool]:
            native, rule = places[found[name]]
            return arrival.put(leaf_of(native), rule, tensors.read(name))

        def size(name: str) -> int:
            return dtype.itemsize * math.prod(wanted[found[name]])

        for name, (weight, finite) in ahead(found, size, read, threads=threads):
            note(name, finite)
            weights[places[found[name]][0]] = weight
    return weights | read_quantized(class_name, apart, tensors, place, threads)


class _Arrival:
    """Brings tensors to a place, each read, cast and looked at in one pass; threads may share it.

    Args:
        place: The place.
        dtype: The dtype there.
        ours: Whether the tensors lie in a file that was converted for JAX.
    """

    def __init__(self, place: Place, dtype: np.dtype[Any], ours: bool) -> None:
        self._place, self._dtype, self._ours = place, dtype, ours
        self._memory = WorkingMemory()

    def put(self, leaf: str, rule: LeafRule, stored: Array) -> tuple[jax.Array, bool]:
        """Bring a tensor there, and tell whether all of its values are finite."""
        view = rule.to_backend(stored)
        # On a CPU JAX keeps an aligned array without a copy, but `stored` belongs to the
        # checkpoint. JAX itself copies a transposed array, faster than NumPy would.
        kept = view.flags.c_contiguous
        if stored.dtype == self._dtype and (self._ours or not kept):
            finite = all_finite(stored)  # first, as it reads the file in the file's order
            return self._placed(leaf, view, wait=False), finite
        if kept:
            values = aligned(view.shape, self._dtype)
            finite = fill(values, view)
            return self._placed(leaf, values, wait=False), finite
        with self._memory.lent(stored.shape, self._dtype) as values:
            finite = fill(values, stored)
            return self._placed(leaf, rule.to_backend(values), wait=True), finite

    def _placed(self, leaf: str, array: Array, *, wait: bool) -> jax.Array:
        with own_settings():  # JAX keeps such settings by thread
            weight = self._place.put_weight(leaf, array)
            if wait:
                jax.block_until_ready(weight)
            return weight


def rule_and_name(native: str, rank: int) -> tuple[LeafRule, str]:
    """Return the rule of a weight's layout in PyTorch, and its name there."""
    cell, dot, leaf = native.rpartition(".")
    rule = JAX_RULES.rule_for(leaf, rank)
    return rule, f"{cell}{dot}{rule.torch_leaf}"
