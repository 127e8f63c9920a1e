"""`randn_tensor`, where scripts written for `diffusers.utils.torch_utils` look for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kandinsky_core.denoising.noise import as_generators, draw_normal
from kandinsky_core.pictures.torch_tensors import as_torch

__all__ = ["randn_tensor"]


def randn_tensor(
    shape: Sequence[int],
    generator: Any = None,
    device: Any = None,
    dtype: Any = None,
    layout: Any = None,
) -> Any:
    """Draw standard normals as PyTorch's CPU generator draws them.

    Args:
        shape: Sizes, the batch first.
        generator: As for every pipeline: None, a `Generator`, a `torch.Generator` of the CPU, an
            integer, or a list with one for each row of the batch.
        device: Has no effect for an array. A PyTorch device asks for a tensor there.
        dtype: None or a NumPy dtype asks for an array, a PyTorch dtype for a tensor.
        layout: Has no effect.

    Returns:
        A float32 array, which pipelines take as `latents`. A PyTorch tensor where the generator,
        the device or the dtype is an object of PyTorch.

    Raises:
        InvalidInputError: A list of generators has another length than the batch.
    """
    one = not isinstance(generator, list | tuple)
    if not one and len(generator) == 1:  # as in diffusers, it draws the whole batch
        generator, one = generator[0], True
    found = as_generators(generator, None, 1 if one else shape[0])
    drawn = draw_normal(found.generators, shape)
    asked = (*(generator if not one else [generator]), device, dtype)
    if any(type(value).__module__.partition(".")[0] == "torch" for value in asked):
        return as_torch(drawn).to(device=_of_torch(device), dtype=_of_torch(dtype))
    return drawn if dtype is None else drawn.astype(dtype)


def _of_torch(value: Any) -> Any:
    """Return an object of PyTorch, or a device's name; else None, which asks for nothing."""
    return value if type(value).__module__.partition(".")[0] == "torch" else None
