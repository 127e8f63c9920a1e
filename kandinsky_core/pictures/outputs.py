"""From the autoencoder's pixels to PIL pictures and grids, and from a size in pixels to latents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from kandinsky_core.arrays import FloatArray
from kandinsky_core.errors import InvalidInputError

if TYPE_CHECKING:
    from PIL import Image

__all__ = [
    "IMAGE_OUTPUT_TYPES",
    "latent_size",
    "make_image_grid",
    "numpy_to_pil",
    "to_pil",
    "to_unit_range",
]

IMAGE_OUTPUT_TYPES = ("pil", "np", "pt", "latent")


def latent_size(pixels: int, scale_factor: int) -> int:
    """Return the latent side for a side in pixels.

    The UNet halves the latents as often as MoVQ halves the pixels, so the side is rounded up to a
    multiple of `scale_factor`: 512 -> 64 and 520 -> 72 for the published factor of 8.
    """
    block = scale_factor**2
    return -(-pixels // block) * scale_factor


def to_unit_range(pixels: FloatArray, height: int, width: int) -> FloatArray:
    """Turn pixels [B, 3, H, W] in [-1, 1] into images [B, height, width, 3] in [0, 1].

    The rounding of the latent size adds pixels on the right and at the bottom; they are cut off.
    """
    image = np.clip(pixels * np.float32(0.5) + np.float32(0.5), 0, 1)
    return np.ascontiguousarray(image.transpose(0, 2, 3, 1)[:, :height, :width])


def to_pil(images: FloatArray) -> list[Image.Image]:
    """Turn images [B, H, W, 3], or [B, H, W] for grey ones, in [0, 1] into PIL pictures."""
    from PIL import Image

    return [Image.fromarray(image) for image in (images * 255).round().astype(np.uint8)]


def numpy_to_pil(images: FloatArray) -> list[Image.Image]:
    """Turn images [B, H, W, C] or one [H, W, C] in [0, 1] into PIL pictures; C is 3, 4 or 1.

    Raises:
        InvalidInputError: The array has another shape.
    """
    batch = images[None] if images.ndim == 3 else images
    if batch.ndim != 4 or batch.shape[-1] not in (1, 3, 4):
        raise InvalidInputError(f"images of shape {images.shape}: give [B, H, W, 3] in [0, 1]")
    return to_pil(batch[..., 0] if batch.shape[-1] == 1 else batch)


def make_image_grid(
    images: Sequence[Image.Image], rows: int, cols: int, resize: int | None = None
) -> Image.Image:
    """Paste pictures of one size into a grid, row by row.

    Args:
        images: `rows * cols` pictures.
        rows: Number of rows.
        cols: Number of columns.
        resize: Side in pixels of the square that each picture is scaled to first.

    Raises:
        InvalidInputError: The number of pictures is not `rows * cols`.
    """
    from PIL import Image

    if min(rows, cols) < 1 or len(images) != rows * cols:
        raise InvalidInputError(
            f"a grid of {rows} x {cols} takes {rows * cols} pictures, {len(images)} were given"
        )
    if resize is not None:
        images = [image.resize((resize, resize)) for image in images]
    width, height = images[0].size
    grid = Image.new("RGB", (cols * width, rows * height))
    for index, image in enumerate(images):
        grid.paste(image, (index % cols * width, index // cols * height))
    return grid
