"""Puts the forms that a TPU had before back in their places, to compare."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from kandinsky_jax.layers import attention, group_statistics
from kandinsky_jax.programs import compiler_options

__all__ = ["earlier_forms"]


@contextmanager
def earlier_forms() -> Iterator[None]:
    """Trace what a GPU has, and compile it without options; see "TPUs" in docs/accelerators.md."""

    def at_once(*arrays: Any, scale: float) -> Any:
        pieces = functools.partial(attention._attend_in_pieces, most=attention.MAX_SCORES)
        return pieces(*arrays, scale=scale)

    def no_kernel(*_: Any, **__: Any) -> None:
        return None

    with (
        mock.patch.object(attention, "kernel_for", no_kernel),
        mock.patch.object(attention, "_attend_on_chip", at_once),
        mock.patch.object(attention, "_laid_out", attention._unchanged),
        mock.patch.object(group_statistics, "_folded", group_statistics._normalised),
        mock.patch.object(compiler_options, "_OF_HALF_PRECISION_ON_A_TPU_V5", {}),
    ):
        yield
