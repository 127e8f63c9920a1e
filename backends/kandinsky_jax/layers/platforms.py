"""Chooses between forms of a layer by the platform that a program is compiled for.

JAX's own `platform_dependent` traces every form and drops all but one when it lowers. A program
says before it is traced what it is for; then only that form is traced.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import jax

__all__ = ["platform_dependent", "tracing_for"]

_PLATFORM: ContextVar[str | None] = ContextVar("kandinsky_jax_platform", default=None)


@contextmanager
def tracing_for(platform: str) -> Iterator[None]:
    """Trace for one platform in a `with` block: `cpu`, `gpu` or `tpu`, as its devices name it."""
    token = _PLATFORM.set(platform)
    try:
        yield
    finally:
        _PLATFORM.reset(token)


def platform_dependent(
    *arguments: Any, default: Callable[..., Any], **forms: Callable[..., Any]
) -> Any:
    """Apply the form of the platform, or `default` where it has none of its own.

    Args:
        arguments: What the form is given.
        default: The form of all other platforms.
        forms: Forms by the names of platforms, `cpu` and `tpu`.
    """
    platform = _PLATFORM.get()
    if platform is None:
        return jax.lax.platform_dependent(*arguments, default=default, **forms)
    return forms.get(platform, default)(*arguments)
