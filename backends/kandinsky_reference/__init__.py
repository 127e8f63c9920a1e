"""PyTorch diffusers behind the core's interfaces, for `kandinsky verify` to compare with.

It is no backend to make pictures with, and it needs the `test` extra.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kandinsky_core.seam.registry import require_packages

if TYPE_CHECKING:
    from kandinsky_reference.backend import ReferenceBackend

__all__ = ["create"]


def create() -> ReferenceBackend:
    """Return the reference backend; the entry point `diffusers` names this function.

    Raises:
        BackendUnavailableError: PyTorch, diffusers or transformers is not installed.
    """
    require_packages("test", "torch", "diffusers", "transformers")
    from kandinsky_reference.backend import ReferenceBackend

    return ReferenceBackend()
