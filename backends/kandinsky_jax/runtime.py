"""The one way in to JAX: what components do on a device, they do within `at_work`.

A caller may have set JAX up for code of its own. Settings that would stop or change our programs
are put aside for as long as a component works, and only in its thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import jax
import jax.experimental

from kandinsky_backend_kit.own_process import in_own_process
from kandinsky_jax.placement.memory import explain_out_of_memory

__all__ = ["at_work", "own_settings"]


@contextmanager
def at_work(device: str, *, loading: bool = False) -> Iterator[None]:
    """Work on a device with our own settings of JAX, and explain what goes wrong there.

    Args:
        device: The name of the device.
        loading: Whether a network is being loaded; else one is running.

    Raises:
        BackendUnavailableError: This process was forked from one that loaded models.
        DeviceMemoryError: The device's memory did not suffice.
    """
    in_own_process()
    with explain_out_of_memory(device, loading=loading), own_settings():
        yield


@contextmanager
def own_settings() -> Iterator[None]:
    """Put settings aside that are for another's code; see docs/environments.md."""
    with (
        jax.disable_jit(False),
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
        jax.transfer_guard("allow"),
        _without_x64(),
    ):
        yield


def _without_x64() -> AbstractContextManager[None]:
    """Keep float32 where a dtype is left to JAX; JAX 0.8 moved the switch."""
    switch = jax.enable_x64 if hasattr(jax, "enable_x64") else jax.experimental.enable_x64
    context: AbstractContextManager[None] = switch(False)
    return context
