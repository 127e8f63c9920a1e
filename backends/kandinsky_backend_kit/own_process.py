"""Refuses work in a process that was forked from one which loaded models."""

from __future__ import annotations

import os

from kandinsky_core.errors import BackendUnavailableError

__all__ = ["in_own_process"]

_first: int | None = None


def in_own_process() -> None:
    """Remember the process that first uses a device, and refuse a fork of it.

    A fork has the models and none of the threads that compute: it would wait for them for ever.
    Every component and every backend calls this before it uses a device.

    Raises:
        BackendUnavailableError: An ancestor of this process used a device before it was forked.
    """
    global _first
    process = os.getpid()
    if _first is None:
        _first = process
    if _first != process:
        raise BackendUnavailableError(
            f"process {process} was forked from process {_first}, which had loaded models: threads "
            "that compute do not survive a fork; start processes by the method 'spawn' "
            "(multiprocessing.get_context('spawn')), or load models only after the fork"
        )
