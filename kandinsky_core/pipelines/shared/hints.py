"""What the ControlNets of all families share: a hint of the size that the convolutions read."""

from __future__ import annotations

from typing import Any

from kandinsky_core.arrays import FloatArray
from kandinsky_core.pictures.inputs import as_hints, padded
from kandinsky_core.pipelines.shared.requests import DecoderPlan

__all__ = ["hints_for"]

# Pixels of a hint to a latent cell along a side: three convolutions with stride 2 read it.
_HINT_FACTOR = 8


def hints_for(name: str, hint: Any, plan: DecoderPlan, scale_factor: int) -> FloatArray:
    """Return hints [N, 3, 8h, 8w] in [0, 1] for latents of h x w.

    A hint of another size is resized to the picture's size, times 8 over MoVQ's factor. For the
    published models that quotient is 1.

    Args:
        name: The argument's name, for the error.
        hint: See `kandinsky_core.pictures.inputs`.
        plan: Sizes of picture and latents.
        scale_factor: Pixels to a latent cell along a side.

    Raises:
        InvalidInputError: The hint is no picture.
    """
    _, height, width = plan.latent_shape
    sides = [-(-side * _HINT_FACTOR // scale_factor) for side in (plan.height, plan.width)]
    return padded(as_hints(name, hint, *sides), height * _HINT_FACTOR, width * _HINT_FACTOR)
