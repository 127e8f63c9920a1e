"""Reads dtypes from users' arguments, and says which dtype a component computes in.

A caller may pass any framework's dtype object (`torch.float16`, `jnp.bfloat16`, `ms.float16`,
`numpy.float32`) or its name: only the name is read, so no framework is imported for it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np

from kandinsky_core.configs import NETWORKS
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.seam.stored_dtypes import STORED

__all__ = [
    "DTYPES",
    "DTypeName",
    "chosen_dtype",
    "component_dtype",
    "dtype_name",
    "is_dtype",
    "pinned_dtype",
    "safe_dtype",
]

logger = logging.getLogger(__name__)

DTYPES = ("float32", "bfloat16", "float16")
_ALIASES = {
    "bf16": "bfloat16",
    "float": "float32",
    "fp16": "float16",
    "fp32": "float32",
    "half": "float16",
}
_OF_MINDSPORE = {entry.mindspore: entry.name for entry in STORED.values()}


class DTypeName(str):
    """A dtype's name, `float16` for example, that also equals any framework's dtype object."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str):
            return str.__eq__(self, other)
        return is_dtype(other) and str.__eq__(self, dtype_name(other))

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = str.__hash__


def dtype_name(dtype: Any) -> str:
    """Return `float32`, `bfloat16` or `float16` for a dtype object of any framework or a name.

    Raises:
        InvalidInputError: The value is another dtype, or no dtype.
    """
    name = dtype if isinstance(dtype, str) else _object_name(dtype)
    name = name.rsplit(".", 1)[-1].lower()
    name = _ALIASES.get(name, name)
    if name not in DTYPES:
        raise InvalidInputError(f"dtype {dtype!r} is not supported: choose {', '.join(DTYPES)}")
    return name


def is_dtype(value: Any) -> bool:
    """Tell whether `dtype_name` knows the value."""
    try:
        dtype_name(value)
    except InvalidInputError:
        return False
    return True


def _object_name(dtype: Any) -> str:
    if isinstance(dtype, np.dtype):
        return dtype.name
    if isinstance(dtype, type):  # numpy.float32, and JAX's scalar types
        return dtype.__name__
    name = getattr(dtype, "name", None)
    text = name if isinstance(name, str) else str(dtype)  # torch.float16 prints as its own name
    return _OF_MINDSPORE.get(text, text)


def chosen_dtype(*given: Any) -> Any:
    """Return the name of the one dtype among these that is not None, or a mapping of names.

    Raises:
        InvalidInputError: Several dtypes are given, or a value is no dtype.
    """
    found = [value for value in given if value is not None and not _automatic(value)]
    if len(found) == 1 and isinstance(found[0], Mapping):
        return {component: dtype_name(value) for component, value in found[0].items()}
    names = {dtype_name(value) for value in found}
    if len(names) > 1:
        raise InvalidInputError(f"several dtypes were given: {', '.join(sorted(names))}")
    return names.pop() if names else None


def _automatic(dtype: Any) -> bool:
    """Tell whether a dtype is `auto`, for which diffusers takes float32, as we do by default."""
    chosen = isinstance(dtype, str) and dtype == "auto"
    if chosen:
        logger.info("dtype 'auto' takes float32, as diffusers does")
    return chosen


def component_dtype(class_name: str, dtype: str) -> str:
    """Return the dtype that a network computes in when its pipeline is asked for `dtype`.

    Args:
        class_name: The network's class; one that is not in `NETWORKS` computes in `dtype`.
        dtype: One of `DTYPES`.
    """
    return safe_dtype(class_name, pinned_dtype(class_name, dtype))


def pinned_dtype(class_name: str, dtype: str) -> str:
    """Return the dtype that a pipeline asks a network for when it is asked for `dtype` itself."""
    entry = NETWORKS.get(class_name)
    return dtype if entry is None or entry.dtype is None else entry.dtype


def safe_dtype(class_name: str, dtype: str) -> str:
    """Return the dtype that a network computes in when asked for `dtype`; log it if it differs."""
    entry = NETWORKS.get(class_name)
    chosen = dtype if entry is None else entry.instead.get(dtype, dtype)
    if chosen != dtype:
        logger.info("%s computes in %s: it overflows %s", class_name, chosen, dtype)
    return chosen
