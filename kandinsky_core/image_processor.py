"""diffusers' `VaeImageProcessor`: pictures to the autoencoder's arrays and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kandinsky_core.arrays import Array, FloatArray
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.foreign_names import ForeignNames, refuses
from kandinsky_core.pictures.inputs import as_array, as_images
from kandinsky_core.pictures.outputs import IMAGE_OUTPUT_TYPES, numpy_to_pil
from kandinsky_core.pictures.torch_tensors import as_torch
from kandinsky_core.validation import one_of, positive_int

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["VaeImageProcessor"]


@refuses(
    "a mask and its picture are put together within the inpainting pipelines",
    "give `image=` and `mask_image=` to an inpainting pipeline",
    "apply_overlay binarize blur get_crop_region",
)
class VaeImageProcessor(ForeignNames):
    """Turns pictures into arrays of the size and range that an autoencoder reads, and back.

    Args:
        vae_scale_factor: Sides are rounded down to multiples of this many pixels.
        **options: diffusers' other arguments. Their defaults, and the published pipelines'
            `resample="bicubic"` with `reducing_gap=1`, are what the pipelines here do.
    """

    def __init__(self, vae_scale_factor: int = 8, **options: Any) -> None:
        self.vae_scale_factor = positive_int("vae_scale_factor", vae_scale_factor)
        self.config = {"vae_scale_factor": vae_scale_factor, **options}

    def preprocess(
        self, image: Any, height: int | None = None, width: int | None = None
    ) -> FloatArray:
        """Turn pictures into float32 [N, 3, H, W] in [-1, 1].

        Args:
            image: A PIL picture, an array, a tensor, or a list of these.
            height: Pixels, rounded down to a multiple of the factor; None takes the picture's.
            width: As `height`.

        Raises:
            InvalidInputError: The value is no picture, or a size is too small.
        """
        height, width = self.get_default_height_width(image, height, width)
        return as_images("image", image, height, width)

    def get_default_height_width(
        self, image: Any, height: int | None = None, width: int | None = None
    ) -> tuple[int, int]:
        """Return a picture's height and width, rounded down to multiples of the factor.

        Args:
            image: As for `preprocess`; the first picture of a list counts.
            height: Pixels, in place of the picture's.
            width: Pixels, in place of the picture's.

        Raises:
            InvalidInputError: A side is shorter than the factor, or the value is no picture.
        """
        if height is None or width is None:
            tall, wide = _size(image)
            height, width = height or tall, width or wide
        factor = self.vae_scale_factor
        sides = tuple(side // factor * factor for side in (height, width))
        if min(sides) < factor:
            raise InvalidInputError(f"{height} x {width}: give sides of at least {factor} pixels")
        return sides[0], sides[1]

    def postprocess(self, image: Any, output_type: str = "pil", **options: Any) -> Any:
        """Turn arrays [N, 3, H, W] in [-1, 1] into pictures.

        Args:
            image: Arrays or tensors.
            output_type: `pil`, `np` ([N, H, W, 3] in [0, 1]), `pt` (a tensor [N, 3, H, W] in
                [0, 1]), or `latent`, which returns them as they are.
            **options: `do_denormalize`: for each picture whether its values are in [-1, 1].

        Raises:
            InvalidInputError: The type is another one.
        """
        chosen = one_of("output_type", output_type, IMAGE_OUTPUT_TYPES)
        if chosen == "latent":
            return image
        pixels = as_array("image", image).astype(np.float32)
        which = options.pop("do_denormalize", None) or [True] * len(pixels)
        if options:
            raise InvalidInputError(f"postprocess does not take {', '.join(sorted(options))}")
        rows = zip(pixels, which, strict=True)
        unit = np.stack([self.denormalize(row) if within else row for row, within in rows])
        if chosen == "pt":
            return as_torch(unit)
        images = unit.transpose(0, 2, 3, 1)
        return images if chosen == "np" else numpy_to_pil(images)

    @staticmethod
    def normalize(images: Any) -> Any:
        """Turn values in [0, 1] into values in [-1, 1]."""
        return images * 2 - 1

    @staticmethod
    def denormalize(images: Any) -> Any:
        """Turn values in [-1, 1] into values in [0, 1], and cut off what lies outside."""
        return (images * 0.5 + 0.5).clip(0, 1)

    @staticmethod
    def pil_to_numpy(images: Image.Image | Sequence[Image.Image]) -> FloatArray:
        """Turn PIL pictures into float32 [N, H, W, 3] in [0, 1]."""
        several = images if isinstance(images, Sequence) else [images]
        planes = [np.asarray(image, np.float32) / np.float32(255) for image in several]
        stacked: FloatArray = np.stack(planes)
        return stacked if stacked.ndim == 4 else stacked[..., None]

    @staticmethod
    def numpy_to_pil(images: Array) -> list[Image.Image]:
        """Turn arrays [N, H, W, C] or [H, W, C] in [0, 1] into PIL pictures."""
        return numpy_to_pil(images)

    @staticmethod
    def numpy_to_pt(images: Array) -> Any:
        """Turn arrays [N, H, W, C] into a tensor [N, C, H, W]; it needs PyTorch."""
        array = images if images.ndim == 4 else images[..., None]
        return as_torch(np.ascontiguousarray(array.transpose(0, 3, 1, 2)))

    @staticmethod
    def pt_to_numpy(images: Any) -> FloatArray:
        """Turn a tensor [N, C, H, W] into float32 arrays [N, H, W, C]."""
        array = as_array("images", images).astype(np.float32)
        return np.ascontiguousarray(array.transpose(0, 2, 3, 1))


def _size(image: Any) -> tuple[int, int]:
    """Return the height and width of a picture, or of the first one in a list or batch."""
    from PIL import Image

    first = image[0] if isinstance(image, list | tuple) and len(image) else image
    if isinstance(first, Image.Image):
        return first.height, first.width
    shape = as_array("image", first).shape
    if len(shape) == 2:
        return int(shape[0]), int(shape[1])
    if len(shape) not in (3, 4):
        raise InvalidInputError(f"image has the shape {shape}: give a picture or a batch of them")
    channels_last = shape[-1] in (1, 3, 4) and shape[-3] not in (1, 3, 4)
    tall, wide = shape[-3:-1] if channels_last else shape[-2:]
    return int(tall), int(wide)
