"""The MindSpore backend: mindone's networks, for Ascend NPUs, and on a CPU for tests."""

from __future__ import annotations

from kandinsky_core.seam.backend import Backend
from kandinsky_core.seam.registry import require_packages

__all__ = ["create"]


def create(*, compile: bool | None = None) -> Backend:
    """Return the MindSpore backend; the entry point `mindspore` names this function.

    Args:
        compile: Whether MindSpore compiles the denoisers, once for each shape. The first step then
            takes seconds to minutes more, all others less time. On a CPU only the UNet in float32
            is compiled. None takes the environment's `KANDINSKY_MINDSPORE_COMPILE` (1 is yes).

    Raises:
        BackendUnavailableError: MindSpore or mindone is not installed, or the device that the
            environment asks for is not there.
    """
    require_packages("mindspore", "mindspore", "mindone")
    from kandinsky_mindspore.runtime import load_mindspore

    load_mindspore()  # before the modules below import it, and with it silenced
    from kandinsky_mindspore.backend import MindSporeBackend

    return MindSporeBackend(compile=compile)
