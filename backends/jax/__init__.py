"""The JAX backend: Flax NNX networks, compiled once for each shape, on CPU, GPU and TPU."""

from __future__ import annotations

from kandinsky_core.backend import require_packages
from kandinsky_core.interfaces import Backend

__all__ = ["create"]


def create() -> Backend:
    """Return the backend; what the entry point `jax` names.

    Raises:
        BackendUnavailableError: JAX or Flax is not installed.
    """
    require_packages("jax", "jax", "jaxlib", "flax")
    from backends.jax.backend import JaxBackend

    return JaxBackend()
