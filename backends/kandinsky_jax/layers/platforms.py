"""Chooses between forms of a layer by the platform that a program is compiled for.

JAX's own `platform_dependent` traces every form and drops all but one when it lowers. A program
says before it is traced what it is for; then only that form is traced.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import jax

__all__ = ["Target", "platform_dependent", "traced_target", "tracing_for"]


@dataclass(frozen=True, slots=True)
class Target:
    """What a program is traced for.

    Attributes:
        platform: `cpu`, `gpu` or `tpu`, as its devices name it.
        capability: What NVIDIA calls the compute capability, such as (9, 0); None of all else.
        whole: Whether each device runs a program of its own. Otherwise the compiler divides one
            program among the devices, and it cannot divide a kernel that is written by hand.
    """

    platform: str
    capability: tuple[int, int] | None = None
    whole: bool = True


_TARGET: ContextVar[Target | None] = ContextVar("kandinsky_jax_target", default=None)


@contextmanager
def tracing_for(target: Target | str) -> Iterator[None]:
    """Trace for a target in a `with` block; a platform's name stands for one device of it."""
    token = _TARGET.set(Target(target) if isinstance(target, str) else target)
    try:
        yield
    finally:
        _TARGET.reset(token)


def traced_target() -> Target | None:
    """Return what is being traced for, or None where no program has said so."""
    return _TARGET.get()


def platform_dependent(
    *arguments: Any, default: Callable[..., Any], **forms: Callable[..., Any]
) -> Any:
    """Apply the form of the platform, or `default` where it has none of its own.

    Args:
        arguments: What the form is given.
        default: The form of all other platforms.
        forms: Forms by the names of platforms, `cpu` and `tpu`.
    """
    target = _TARGET.get()
    if target is None:
        return jax.lax.platform_dependent(*arguments, default=default, **forms)
    return forms.get(target.platform, default)(*arguments)
