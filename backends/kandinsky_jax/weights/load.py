"""Reads a network's weights from a checkpoint in PyTorch's names and layouts, one at a time."""

from __future__ import annotations

import numpy as np

from kandinsky_converters.layouts.accounting import account
from kandinsky_converters.layouts.layouts import layout_of, with_layout
from kandinsky_converters.layouts.leaf_rules import JAX_RULES, LeafRule
from kandinsky_converters.layouts.numbers import recast, refuse_non_finite
from kandinsky_core.seam.tensors import Tensors
from kandinsky_jax.placement.devices import default_device
from kandinsky_jax.placement.places import OneDevice, Place, Weights, leaf_of
from kandinsky_jax.weights.network_form import NetworkForm, jax_dtype
from kandinsky_jax.weights.quantized import read_quantized

__all__ = ["load_weights", "rule_and_name"]


def load_weights(form: NetworkForm, tensors: Tensors, place: Place | None = None) -> Weights:
    """Read the weights of a network from a checkpoint.

    Args:
        form: The network. Its dtype is that of the weights; files in another precision are cast.
            Weights that it keeps in 8 bits are rounded to them.
        tensors: The checkpoint, in any layout. At most one tensor is held on the host at a time.
            On a CPU a file that was converted for JAX is not copied at all: the weights are
            windows into it.
        place: Where the weights shall lie; JAX's default device if none is given.

    Raises:
        CheckpointError: The checkpoint does not fit; raised before any data is read. Or a value
            is NaN or infinite, or becomes so in the dtype.
    """
    shapes = form.shapes()
    places, wanted = {}, {}
    for native, shape in shapes.items():
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
    weights: Weights = {}
    with refuse_non_finite(class_name, str(dtype)) as check:
        for name, expected in found.items():
            native, rule = places[expected]
            stored = tensors.read(name)
            array = rule.to_backend(recast(stored, dtype))
            check(name, array)
            # JAX itself copies a transposed array, faster than NumPy would. On a CPU it keeps any
            # other array without a copy, but `stored` belongs to the checkpoint.
            if not ours and array.flags.c_contiguous and np.may_share_memory(array, stored):
                array = array.copy()
            weights[native] = place.put_weight(leaf_of(native), array)
    return weights | read_quantized(class_name, apart, tensors, place)


def rule_and_name(native: str, rank: int) -> tuple[LeafRule, str]:
    """Return the rule of a weight's layout in PyTorch, and its name there."""
    cell, dot, leaf = native.rpartition(".")
    rule = JAX_RULES.rule_for(leaf, rank)
    return rule, f"{cell}{dot}{rule.torch_leaf}"
