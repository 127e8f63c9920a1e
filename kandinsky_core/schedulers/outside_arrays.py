"""Arrays of whoever writes a denoising loop by hand: NumPy's or PyTorch's, and noise like them.

PyTorch is never imported here: who hands over a tensor has imported it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kandinsky_core.arrays import FloatArray
from kandinsky_core.errors import InvalidInputError

__all__ = ["draw_noise", "float32_array", "is_torch", "like", "scalar", "times_like"]


def is_torch(value: Any) -> bool:
    """Return whether a value is PyTorch's: a tensor, a generator, a device."""
    return type(value).__module__.split(".")[0] == "torch"


def float32_array(name: str, value: Any) -> FloatArray:
    """Return an argument as a float32 array of NumPy.

    Raises:
        InvalidInputError: The argument is no array of numbers; the message names it.
    """
    if is_torch(value):
        value = value.detach().float().cpu().numpy()
    try:
        return np.asarray(value, np.float32)
    except (TypeError, ValueError):
        raise InvalidInputError(
            f"{name} is a {type(value).__name__}: give an array of NumPy or a tensor of PyTorch"
        ) from None


def scalar(name: str, value: Any) -> float:
    """Return a timestep, which may be an array or tensor of one number, as a float.

    Raises:
        InvalidInputError: It is anything else.
    """
    try:
        number = float(value)
    except (TypeError, ValueError, RuntimeError):
        raise InvalidInputError(f"{name}={value!r}: give one number") from None
    if not np.isfinite(number):
        raise InvalidInputError(f"{name}={value!r}: give a finite number")
    return number


def like(example: Any, array: FloatArray) -> Any:
    """Return an array as what `example` is: a tensor of its dtype and device, or NumPy's."""
    if is_torch(example):
        return example.new_tensor(array)
    dtype = getattr(example, "dtype", np.float32)
    try:
        return array.astype(dtype, copy=False) if np.dtype(dtype).kind == "f" else array
    except TypeError:  # no dtype of NumPy
        return array


def times_like(device: Any, timesteps: NDArray[Any]) -> Any:
    """Return timesteps as a tensor where `device` is a `torch.device`, otherwise NumPy's."""
    if is_torch(device):
        return sys.modules["torch"].from_numpy(timesteps.copy()).to(device)
    return timesteps


def draw_noise(generator: Any, shape: tuple[int, ...], example: Any) -> FloatArray:
    """Draw standard normals for a step of a hand-written loop.

    Args:
        generator: A `Generator` of this package, a `torch.Generator`, a list with one of them for
            each row, or None. None draws from PyTorch's global stream where `example` is a tensor;
            otherwise the noise cannot be repeated.
        shape: Sizes of the noise.
        example: The present sample.

    Raises:
        InvalidInputError: `generator` is anything else, or a list of another length.
    """
    if isinstance(generator, list | tuple):
        if len(generator) != shape[0]:
            raise InvalidInputError(
                f"generator has {len(generator)} entries for {shape[0]} rows: give one for each row"
            )
        rows = [draw_noise(each, (1, *shape[1:]), example) for each in generator]
        return np.concatenate(rows)
    if is_torch(generator) or (generator is None and is_torch(example)):
        torch = sys.modules["torch"]
        device = None if generator is None else generator.device
        return float32_array("noise", torch.randn(shape, generator=generator, device=device))
    if generator is None:
        return np.random.default_rng().standard_normal(shape, np.float32)
    return _drawn(generator, shape)


def _drawn(generator: Any, shape: Sequence[int]) -> FloatArray:
    randn = getattr(generator, "randn", None)
    if randn is None:
        raise InvalidInputError(
            f"generator is a {type(generator).__name__}: give a Generator, a torch.Generator, or a"
            " list with one for each row"
        )
    drawn: FloatArray = randn(shape)
    return drawn
