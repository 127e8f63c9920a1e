"""The JAX backend: Flax NNX networks, compiled once for each shape, on CPU, GPU and TPU."""

from __future__ import annotations

from typing import Any

from kandinsky_core.seam.backend import Backend
from kandinsky_core.seam.registry import require_packages

__all__ = ["create"]


def create(*, mesh: Any = None, winograd: bool | None = None) -> Backend:
    """Return the backend; what the entry point `jax` names.

    Args:
        mesh: The devices that share the work, `data=4,model=2` or a `jax.sharding.Mesh` with axes
            among these two: pictures are divided along `data`, weights along `model`. None takes
            one device.
        winograd: Whether loops of Kandinsky 2's UNet take convolutions with fewer multiplications,
            which in float32 are as exact; in bfloat16, where they are taken only if the
            CPU multiplies it fast (AMX, with JAX 0.9 or newer), the UNet's error is 1.7 times as
            large; in float16 they are not. The full-size one needs 3 GB more for them, or half in
            bfloat16. None takes them on a CPU, where the network is large.

    Raises:
        BackendUnavailableError: JAX or Flax is not installed, or there are fewer devices.
        InvalidInputError: It is no such mesh.
    """
    require_packages("jax", "jax", "jaxlib", "flax")
    from kandinsky_jax.backend import JaxBackend

    return JaxBackend(mesh=mesh, winograd=winograd)
