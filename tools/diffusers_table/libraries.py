"""Reads the names of a class from its code, in either library."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any

__all__ = ["keyword_names", "parameters", "public_names"]

# An argument that is taken out of `**kwargs`, which this library calls options.
_POPPED = re.compile(r"(?:kwargs|options)\.(?:pop|get)\(\s*\"(\w+)\"")


def public_names(kind: type) -> set[str]:
    """Return the attributes of a class and of its objects that have no leading underscore."""
    found = {name for name in dir(kind) if hasattr(kind, name)}  # refused names are in `dir` too
    for base in kind.__mro__:
        found |= _assigned(base)
        found |= {entry.name for entry in fields(base)} if is_dataclass(base) else set()
    return {name for name in found if not name.startswith("_")}


def parameters(function: Any) -> dict[str, inspect.Parameter]:
    """Return the parameters of a method, without `self` and without `*args` and `**kwargs`."""
    found = inspect.signature(function).parameters.values()
    variadic = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    return {
        entry.name: entry
        for entry in found
        if entry.name not in ("self", "cls") and entry.kind not in variadic
    }


def keyword_names(*functions: Any) -> set[str]:
    """Return the names that functions take out of their `**kwargs`, by their code."""
    return {name for each in functions for name in _POPPED.findall(inspect.getsource(each))}


@cache
def _assigned(kind: type) -> frozenset[str]:
    """Return what the methods of a class assign to `self`."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(kind)))
    except (OSError, TypeError):  # a class that is built in
        return frozenset()
    stored = (
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
    )
    return frozenset(_public(stored))


def _public(names: Iterable[str]) -> Iterable[str]:
    return (name for name in names if not name.startswith("_"))
