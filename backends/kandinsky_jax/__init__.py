"""The JAX backend: Flax NNX networks, compiled once for each shape, on CPU, GPU and TPU."""

from __future__ import annotations

from typing import Any

from kandinsky_core.seam.backend import Backend
from kandinsky_core.seam.registry import require_packages

__all__ = ["create"]


def create(
    *, mesh: Any = None, winograd: bool | None = None, attention: str | None = None
) -> Backend:
    """Return the JAX backend; the entry point `jax` names this function.

    Args:
        mesh: The devices that share the work, `data=4,model=2` or a `jax.sharding.Mesh` with axes
            among these two: pictures are divided along `data`, weights along `model`. None takes
            one device.
        winograd: Whether loops of a UNet take convolutions with fewer multiplications. In float32
            these are as exact as the plain ones. In bfloat16 the error of 2.2's UNet is 1.7 times
            as large, and they are taken only if the CPU multiplies bfloat16 fast (AMX or
            AVX512_BF16, with JAX 0.9 or newer). In float16 they are never taken. They need 3 GB
            more for the full-size 2.2, 2 GB for 3, and half of that in bfloat16. None takes them
            on a CPU for large networks.
        attention: Whether kernels compute attention that others wrote: cuDNN's on an NVIDIA GPU in
            half precision, on a TPU the flash kernel from 4096 queries on. None takes them wherever
            one fits, `plain` never. `kernels` refuses to load a network on a place that has none,
            such as a CPU.

    Raises:
        BackendUnavailableError: JAX or Flax is not installed, or the mesh has more devices than
            there are.
        InvalidInputError: The mesh is none, or `attention` is another word.
    """
    require_packages("jax", "jax", "jaxlib", "flax")
    from kandinsky_jax.backend import JaxBackend

    return JaxBackend(mesh=mesh, winograd=winograd, attention=attention)
