"""The MindSpore backend: mindone's networks, for Ascend NPUs, and on a CPU for tests."""

from __future__ import annotations

from kandinsky_core.backend import require_packages
from kandinsky_core.interfaces import Backend

__all__ = ["create"]


def create() -> Backend:
    """Return the backend; what the entry point `mindspore` names.

    Raises:
        BackendUnavailableError: MindSpore or mindone is not installed, or the device that the
            environment asks for is not there.
    """
    require_packages("mindspore", "mindspore", "mindone")
    from backends.mindspore.runtime import load_mindspore

    load_mindspore()  # before the modules below import it, and with it silenced
    from backends.mindspore.backend import MindSporeBackend

    return MindSporeBackend()
