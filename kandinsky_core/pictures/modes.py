"""From a PIL picture of any mode to one whose pixels mean what the modes RGB and L mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from kandinsky_core.arrays import Array
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.pictures.decoding import reading

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["check_visible_shape", "eight_bit", "is_unit_float", "to_grey", "to_rgb"]

_PLAIN = ("1", "L", "P", "LA", "RGB", "RGBA", "CMYK", "YCbCr")
# PIL resizes or converts these wrongly, or not at all, unless they become the others first.
_REPLACED = {
    "La": "LA",
    "PA": "RGBA",
    "RGBa": "RGBA",
    "RGBX": "RGB",
    "HSV": "RGB",
    "LAB": "RGB",
}
_WITH_ALPHA = ("LA", "La", "RGBA", "RGBa", "PA")


def eight_bit(image: Image.Image, name: str = "image") -> Image.Image:
    """Load a picture and return it in a mode of 8 bits; most pictures are returned as they are.

    Grey of 16 bits, which depth maps often have, is divided by 257, as PIL's own conversions clip
    it. Floats (mode F) lie between 0 and 1 or between 0 and 255.

    Args:
        image: The picture.
        name: The argument's name, for the error.

    Raises:
        InvalidInputError: The picture has no pixels, is damaged, or its mode or the range of its
            numbers is none of these.
    """
    from PIL import Image

    with reading(name):
        image.load()
    if not min(image.size):
        raise InvalidInputError(f"{name} is a picture of {image.width} x {image.height} pixels")
    if image.mode in _PLAIN:
        return image
    if image.mode in _REPLACED:
        with reading(name):
            return image.convert(_REPLACED[image.mode])
    if image.mode != "F" and not image.mode.startswith("I"):
        raise InvalidInputError(
            f"{name} is a picture of mode {image.mode}: convert it to RGB or L first"
        )
    values = np.asarray(image)
    low, high = values.min(), values.max()
    largest = 255 if image.mode == "F" else 65535
    if not (low >= 0 and high <= largest):  # NaN fails both comparisons
        raise InvalidInputError(
            f"{name} is a picture of mode {image.mode} with values from {low:g} to {high:g}: "
            f"give values from 0 to {largest}{' or to 1' if image.mode == 'F' else ''}"
        )
    if image.mode == "F":
        values = np.round(values * 255 if high <= 1 else values)
    elif image.mode != "I" or high > 255:  # PIL may read a PNG of 16 bits into 32
        values = values // 257
    return Image.fromarray(values.astype(np.uint8))


def is_unit_float(image: Image.Image, name: str = "image") -> bool:
    """Return whether a picture has mode F and values that an array of floats may have too.

    Raises:
        InvalidInputError: The picture is damaged.
    """
    if image.mode != "F" or not min(image.size):
        return False
    with reading(name):
        return bool(np.abs(np.asarray(image)).max() <= 1)


def to_rgb(image: Image.Image, name: str = "image") -> Image.Image:
    """Convert a picture to RGB; its transparency is dropped, as diffusers does.

    Raises:
        InvalidInputError: As for `eight_bit`.
    """
    image = eight_bit(image, name)
    with reading(name):
        return _without_palette(image).convert("RGB")


def to_grey(image: Image.Image, name: str = "image") -> Image.Image:
    """Convert a picture to L, its luminance; its transparency is dropped, as diffusers does.

    Raises:
        InvalidInputError: As for `eight_bit`.
    """
    image = eight_bit(image, name)
    with reading(name):
        return _without_palette(image).convert("L")


def check_visible_shape(name: str, mask: Any) -> None:
    """Refuse a mask whose shape lies in its transparency alone, where nobody would look for it.

    Args:
        name: The argument's name, for the error.
        mask: A PIL picture, or pixels [H, W, C] in [0, 1], the fourth channel being the alpha.

    Raises:
        InvalidInputError: All colours are white, or all are black, and the transparency varies.
    """
    if isinstance(mask, np.ndarray):
        if mask.shape[-1] == 4:
            _check_visible(name, mask[..., :3].mean(axis=-1), mask[..., 3])
    elif mask.mode in _WITH_ALPHA or "transparency" in mask.info:
        grey = np.asarray(to_grey(mask, name)) / 255
        with reading(name):
            alpha = mask.convert("LA" if mask.mode == "La" else "RGBA").getchannel("A")
        _check_visible(name, grey, np.asarray(alpha))


def _check_visible(name: str, grey: Array, alpha: Array) -> None:
    white = grey >= 0.5
    if white.min() == white.max() and alpha.min() != alpha.max():
        raise InvalidInputError(
            f"{name} is all {'white' if white.all() else 'black'}, and its shape lies in its "
            "transparency, which does not count: give the transparency as grey, "
            "mask.convert('RGBA').getchannel('A') in Python, white where to repaint"
        )


def _without_palette(image: Image.Image) -> Image.Image:
    # from a palette with transparency PIL converts to RGB and L with a warning
    return image.convert("RGBA") if image.mode == "P" and "transparency" in image.info else image
