"""Describes what a program is made from, as text that is the same in every process.

A program outlives its process under a key of all that it depends on. So a function that is to be
kept has no closure: it is a function of a module, with `functools.partial` around it for what it
does not get as arguments. What a description cannot hold is an error and never left out.
"""

from __future__ import annotations

import dataclasses
import functools
import sys
import types
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

__all__ = ["UndescribedError", "describe", "described_arrays"]


class UndescribedError(TypeError):
    """A value has no description that holds in another process."""


def describe(value: Any) -> Any:
    """Return nested tuples of text that tell a value from all others.

    Raises:
        UndescribedError: It is, or holds, something else than numbers, text, dtypes, tuples, lists,
            mappings, dataclasses, and functions and classes of modules.
    """
    if isinstance(value, str):  # a name of a dtype is a class of its own
        return ("str", str(value))
    if value is None or isinstance(value, bool | int | float | bytes):
        return (type(value).__name__, repr(value))
    if isinstance(value, np.dtype):
        return ("dtype", value.name)
    if isinstance(value, tuple | list):
        return (_name(type(value)), *map(describe, value))
    if isinstance(value, Mapping):
        items = [(describe(key), describe(item)) for key, item in value.items()]
        return ("mapping", *sorted(items))
    if isinstance(value, functools.partial):
        return ("partial", *map(describe, (value.func, value.args, value.keywords)))
    if isinstance(value, types.FunctionType | type):
        return ("named", _name(value))
    if dataclasses.is_dataclass(value):
        fields = [
            (field.name, describe(getattr(value, field.name)))
            for field in dataclasses.fields(value)
        ]
        return (_name(type(value)), *fields)
    raise UndescribedError(f"a program that depends on {value!r} has no name in another process")


def _name(item: Any) -> str:
    """Return where a function or class is found, as `pickle` does."""
    found: Any = sys.modules.get(item.__module__)
    for part in item.__qualname__.split("."):
        found = getattr(found, part, None)
    name = f"{item.__module__}:{item.__qualname__}"
    if found is not item or item.__module__ == "__main__":
        raise UndescribedError(f"{name} is no function or class of a module")
    return name


def described_arrays(tree: Any) -> tuple[str, Any]:
    """Describe a tree of arrays, or of their shapes: the structure; shapes, dtypes and places."""
    leaves, structure = jax.tree.flatten(tree)
    return str(structure), tuple(map(_described_array, leaves))


def _described_array(leaf: Any) -> tuple[str, ...]:
    weak = bool(getattr(leaf, "weak_type", False))
    return (str(tuple(leaf.shape)), np.dtype(leaf.dtype).name, str(weak), _place(leaf))


def _place(leaf: Any) -> str:
    """Return which part of an array lies on which device, however that was asked for."""
    sharding = getattr(leaf, "sharding", None)
    if sharding is None:
        return "host"
    if len(sharding.device_set) == 1:
        (device,) = sharding.device_set
        return f"{device.id} {sharding.memory_kind}"
    parts = sharding.devices_indices_map(tuple(leaf.shape))
    found = sorted((device.id, str(index)) for device, index in parts.items())
    return f"{found} {sharding.memory_kind}"
