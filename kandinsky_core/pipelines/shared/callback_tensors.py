"""Tells whether a callback was written for PyTorch: diffusers hands tensors to its callbacks.

Callbacks get NumPy arrays here. Those of a script for diffusers call `chunk`, `clamp` or
`torch.einsum` on what they get. Such a script imports PyTorch, which its functions show.
"""

from __future__ import annotations

import sys
from functools import partial
from inspect import unwrap
from types import FunctionType, MethodType, ModuleType
from typing import Any

__all__ = ["uses_torch"]


def uses_torch(callback: Any) -> bool:
    """Return whether a function, or the module that defines it, has imported PyTorch.

    Args:
        callback: A function, a method, a partial, an object that can be called, or None.
    """
    function = _function_of(callback)
    if function is None or "torch" not in sys.modules:
        return False
    code = function.__code__
    own = (*code.co_names, *code.co_varnames, *code.co_freevars)
    return "torch" in own or any(_is_torch(value) for value in function.__globals__.values())


def _function_of(callback: Any) -> FunctionType | None:
    while isinstance(callback, partial):
        callback = callback.func
    if callable(callback) and not isinstance(callback, (FunctionType, MethodType, type)):
        callback = callback.__call__
    callback = unwrap(callback) if callable(callback) else None
    if isinstance(callback, MethodType):
        callback = callback.__func__
    return callback if isinstance(callback, FunctionType) else None


def _is_torch(value: Any) -> bool:
    return isinstance(value, ModuleType) and value.__name__.partition(".")[0] == "torch"
