"""The checked call of an enlargement: small pictures, and how each becomes a large one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kandinsky_core.arrays import FloatArray
from kandinsky_core.denoising.noise import SeededGenerators
from kandinsky_core.pictures.interpolation import linear
from kandinsky_core.pipelines.shared.call_options import CallOptions
from kandinsky_core.pipelines.shared.outputs import ImagePipelineOutput
from kandinsky_core.pipelines.shared.requests import CallRequest
from kandinsky_core.schedulers.schedule import Schedule

__all__ = ["EnlargeRequest", "SmallPicture"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SmallPicture:
    """One picture to enlarge.

    Attributes:
        pixels: What the UNet is shown before it is enlarged, [1, 3, h, w] in [-1, 1].
        height: Rows that the UNet makes, before any filling.
        width: Columns that the UNet makes.
        filled: Rows and columns with filling: sides that the UNet takes.
        result: Height and width of the finished picture.
        alpha: The picture's transparency, [h, w] in 0 to 255; None where it has none.
        metadata: What the picture's file says of how it was made; empty where it says nothing.
    """

    pixels: FloatArray
    height: int
    width: int
    filled: tuple[int, int]
    result: tuple[int, int]
    alpha: Any = None
    metadata: Mapping[str, Any]

    @property
    def upscaled(self) -> list[Any]:
        """What the picture's file says of enlargements before this one."""
        found = self.metadata.get("upscaled", [])
        return found if isinstance(found, list) else []

    def enlarged(self) -> FloatArray:
        """Return the small picture at the size of the UNet's sample, [1, 3, H, W]."""
        large = linear(self.pixels, self.height, self.width)
        more = self.filled[0] - self.height, self.filled[1] - self.width
        return np.pad(large, ((0, 0), (0, 0), (0, more[0]), (0, more[1])), mode="edge")

    def finished(self, sample: FloatArray) -> FloatArray:
        """Turn the UNet's sample [1, 3, H, W] into the picture, [height, width, 3] in [0, 1]."""
        pixels = np.clip((sample[0, :, : self.height, : self.width] + 1) / 2, 0, 1)
        if pixels.shape[1:] != self.result:
            pixels = linear(pixels, *self.result, align_corners=True)
        return np.ascontiguousarray(pixels.transpose(1, 2, 0))


@dataclass(frozen=True, slots=True, kw_only=True)
class EnlargeRequest(CallRequest[ImagePipelineOutput | tuple[Any, ...]]):
    """A checked call of an upscaler.

    Attributes:
        pictures: The pictures.
        scale: Factor of both sides.
        schedule: The steps.
        source: The generators of the noise.
        options: The callback and the form of the result.
        window: Largest side of a window in pixels, and the distance of two windows.
        at_once: Windows in one batch.
        output_type: `pil` or `np`.
        paste_exact: Whether each finished picture, shrunk, is the small one again.
        refine: Whether a refiner goes over the finished pictures.
    """

    pictures: tuple[SmallPicture, ...]
    scale: int
    schedule: Schedule
    source: SeededGenerators
    options: CallOptions
    window: tuple[int, int]
    at_once: int
    output_type: str
    paste_exact: bool
    refine: bool = False
