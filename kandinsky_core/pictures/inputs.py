"""Turns a user's pictures, masks and hints into arrays of one size, from PIL, NumPy or a path.

A picture is one of these: a PIL picture; an array of integers from 0 to 255, [H, W, C] or
[C, H, W]; an array of floats from 0 to 1, or from -1 to 1 where any is negative; a list of these;
or an array with a batch axis in front. A PyTorch tensor on a CPU counts as an array.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kandinsky_core import budgets
from kandinsky_core.arrays import Array, FloatArray
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.files import why_not
from kandinsky_core.pictures.interpolation import linear, nearest
from kandinsky_core.pictures.modes import (
    check_visible_shape,
    eight_bit,
    is_unit_float,
    to_grey,
    to_rgb,
)

if TYPE_CHECKING:
    from PIL import Image

__all__ = [
    "as_array",
    "as_hints",
    "as_images",
    "as_images_of_own_size",
    "as_masks",
    "as_soft_masks",
    "has_white",
    "padded",
    "resized_rgb",
]

_CHANNELS = (1, 3, 4)
_LUMINANCE = np.array([[0.299], [0.587], [0.114]], np.float32)  # PIL's weights, from ITU-R 601
_DEEPEST = 8  # levels of lists in lists


def as_array(name: str, value: Any) -> Array:
    """Convert a value to an array of numbers, a PyTorch tensor of any dtype for example.

    Raises:
        InvalidInputError: The value holds anything but numbers and booleans.
    """
    try:
        if hasattr(value, "detach"):  # a PyTorch tensor, whose bfloat16 NumPy does not know
            value = value.detach().cpu()
            value = value.float() if value.is_floating_point() else value
        array = np.asarray(value)
    except Exception as error:  # a foreign object may raise anything when it is converted
        raise InvalidInputError(f"{name} is {_kind(value)}, no array: {why_not(error)}") from error
    if array.dtype.kind not in "biuf":
        of = f" of dtype {array.dtype}" if isinstance(value, np.ndarray) else ""
        raise InvalidInputError(
            f"{name} is {_kind(value)}{of}: give a PIL picture, an array of numbers, or a list"
        )
    return array


def as_images(name: str, value: Any, height: int, width: int) -> FloatArray:
    """Turn pictures into float32 [N, 3, height, width] in [-1, 1], resized where needed.

    Args:
        name: The argument's name, for the error.
        value: See the module's docstring.
        height: Pixels.
        width: Pixels.

    Raises:
        InvalidInputError: The value is no picture, or its numbers are out of range.
    """
    items = _items(name, value)
    # in a batch in [-1, 1] a single picture may have no negative value
    signed = any(_is_float(item) and (item < 0).any() for item in items)  # NaN may be among them
    return _stacked([_image(name, item, height, width, signed) for item in items])


def as_images_of_own_size(name: str, value: Any) -> list[FloatArray]:
    """Turn pictures into float32 [3, H, W] in [-1, 1] each, of any sizes.

    Arguments and errors are those of `as_images`.
    """
    items = _items(name, value)
    signed = any(_is_float(item) and (item < 0).any() for item in items)
    return [_image(name, item, *_own_size(name, item), signed) for item in items]


def as_hints(name: str, value: Any, height: int, width: int) -> FloatArray:
    """Turn hints of a ControlNet into float32 [N, 3, height, width] in [0, 1].

    A grey hint gets three channels. Arguments and errors are those of `as_images`.
    """
    hints: FloatArray = (as_images(name, value, height, width) + 1) / 2
    return hints


def as_masks(name: str, value: Any, height: int, width: int) -> FloatArray:
    """Turn masks into float32 [N, 1, height, width]: 1 where the picture is repainted, else 0.

    A mask is a PIL picture (its luminance counts), booleans, integers from 0 to 255 (or 0 and 1),
    or floats from 0 to 1; [H, W], [1, H, W], [H, W, C], a list of these, or a batch. Values of one
    half and above become 1.

    Raises:
        InvalidInputError: The value is no mask, or its numbers are out of range.
    """
    found = [_mask(name, item, height, width) for item in _items(name, value, is_mask=True)]
    return (_stacked(found) >= 0.5).astype(np.float32)


def as_soft_masks(name: str, value: Any, height: int, width: int) -> FloatArray:
    """Turn masks into float32 [N, 1, height, width] as ai-forever's inpainting reads them.

    A mask is what `as_masks` takes, but values between 0 and 1 stay, and resizing adds such. A
    mask of booleans stays one of 0 and 1.

    Raises:
        InvalidInputError: As for `as_masks`.
    """
    found = []
    for item in _items(name, value, is_mask=True):
        plane = _grey(name, item)[..., 0]
        hard = isinstance(item, np.ndarray) and item.dtype.kind == "b"
        found.append((nearest if hard else linear)(plane, height, width)[None])
    return _stacked(found)


def has_white(mask: Image.Image) -> bool:
    """Return whether a picture, taken for a mask, has a pixel that `as_masks` takes for white.

    This needs no size: a mask without one is refused before there is a model that says the size.

    Raises:
        InvalidInputError: The mask is damaged, or its shape lies in its transparency.
    """
    check_visible_shape("the mask", mask)
    return bool(np.asarray(to_grey(mask, "the mask")).max() >= 0.5 * 255)


def resized_rgb(value: Any, height: int, width: int) -> Any:
    """Resize PIL pictures as ai-forever's inpainting does: as RGB, and from all their pixels.

    `as_images` then finds them of the right size. It would leave out pixels of much larger ones.

    Args:
        value: A PIL picture, or a list; what else there is stays as it is.
        height: Pixels.
        width: Pixels.

    Raises:
        InvalidInputError: The picture is damaged, or its mode is unknown.
    """
    from PIL import Image

    if isinstance(value, (list, tuple)):
        return [resized_rgb(item, height, width) for item in value]
    if not isinstance(value, Image.Image):
        return value
    return to_rgb(value).resize((width, height), Image.Resampling.BICUBIC)


def padded(array: FloatArray, height: int, width: int) -> FloatArray:
    """Repeat the last row and column of [..., H, W] until the size is reached."""
    missing = [(0, 0)] * (array.ndim - 2)
    missing += [(0, height - array.shape[-2]), (0, width - array.shape[-1])]
    return np.pad(array, missing, mode="edge")


def _items(name: str, value: Any, *, is_mask: bool = False, level: int = 0) -> list[Any]:
    """Take a list or a batch apart into PIL pictures and arrays of two or three axes.

    Pictures have a plain mode then, see `kandinsky_core.pictures.modes`.
    """
    from PIL import Image

    if value is None:
        raise InvalidInputError(f"{name} is missing: give a PIL picture, an array, or a list")
    if isinstance(value, (list, tuple)):
        if not value:
            raise InvalidInputError(f"{name} is an empty list: give at least one picture")
        if level == _DEEPEST:  # a list may even hold itself
            raise InvalidInputError(
                f"{name} holds lists in lists, more than {_DEEPEST} levels of them: "
                "give a list of pictures"
            )
        deeper = level + 1
        return [
            item for part in value for item in _items(name, part, is_mask=is_mask, level=deeper)
        ]
    if isinstance(value, Image.Image):
        if is_mask:
            check_visible_shape(name, value)
        return [np.asarray(value) if is_unit_float(value, name) else eight_bit(value, name)]
    if isinstance(value, (str, Path)):
        raise InvalidInputError(f"{name}={str(value)!r}: open it with load_image first")
    array = as_array(name, value)
    # three axes of a mask are a batch unless one of them holds the channels
    several = is_mask and array.ndim == 3 and array.shape[0] > 1
    batch = array.ndim == 4 or (several and array.shape[-1] not in _CHANNELS)
    if not array.size or array.ndim not in (2, 3, 4):
        raise InvalidInputError(
            f"{name} has shape {array.shape}: give height x width x channels, "
            "channels x height x width, or a batch of such"
        )
    found = list(array) if batch else [array]
    if found[0].size > max(_CHANNELS) * budgets.PICTURE_PIXELS:
        raise InvalidInputError(
            f"{name} has shape {array.shape}: give pictures of at most {budgets.PICTURE_PIXELS:,} "
            "pixels"
        )
    return found


def _ends(array: Array) -> tuple[int, int]:
    return array.shape[0], array.shape[-1]


def _is_float(item: Any) -> bool:
    return isinstance(item, np.ndarray) and item.dtype.kind == "f"


def _image(name: str, item: Any, height: int, width: int, signed: bool) -> FloatArray:
    """Return a picture as [3, height, width] in [-1, 1].

    `signed` says whether floats lie in that range already; otherwise they lie in [0, 1].
    """
    from PIL import Image

    if not isinstance(item, Image.Image):
        planes = _channels_last(name, item, _CHANNELS)
        if _is_float(planes):
            return _float_image(name, planes, height, width, signed)
        item = _picture(name, planes)
    # reducing_gap as in the reference, so that the pixels equal the reference's exactly
    item = item.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=1)
    pixels = np.asarray(to_rgb(item, name), np.float32).transpose(2, 0, 1)
    return pixels / np.float32(127.5) - np.float32(1)


def _own_size(name: str, item: Any) -> tuple[int, int]:
    """Return height and width of a picture."""
    if hasattr(item, "convert"):  # a PIL picture
        return int(item.height), int(item.width)
    height, width, _ = _channels_last(name, item, _CHANNELS).shape
    return height, width


def _picture(name: str, planes: Array) -> Image.Image:
    """Make a PIL picture from [H, W, C] booleans or integers."""
    from PIL import Image

    planes = planes * 255 if planes.dtype.kind == "b" else planes
    _check_range(name, planes, 0, 255)
    grey = planes.shape[-1] == 1
    return Image.fromarray(planes.astype(np.uint8)[..., 0 if grey else slice(3)])


def _float_image(name: str, planes: Array, height: int, width: int, signed: bool) -> FloatArray:
    with np.errstate(over="ignore"):  # a float64 beyond float32 becomes infinite, and is refused
        planes = planes.astype(np.float32)[..., :3]
    _check_range(name, planes, -1, 1)
    planes = planes if signed else planes * 2 - 1
    planes = _resized(planes, height, width).transpose(2, 0, 1)
    return np.repeat(planes, 3, axis=0) if len(planes) == 1 else planes


def _mask(name: str, item: Any, height: int, width: int) -> FloatArray:
    """Return a mask as [1, height, width] in [0, 1]."""
    from PIL import Image

    if isinstance(item, Image.Image):
        item = item.resize((width, height), Image.Resampling.LANCZOS)
    return _resized(_grey(name, item), height, width).transpose(2, 0, 1)


def _grey(name: str, item: Any) -> FloatArray:
    """Return a mask of its own size as [H, W, 1] in [0, 1]."""
    from PIL import Image

    if isinstance(item, Image.Image):
        return np.asarray(to_grey(item, name), np.float32)[..., None] / 255
    planes = _channels_last(name, item, _CHANNELS)
    if planes.dtype.kind in "iu":
        _check_range(name, planes, 0, 255)
        planes = planes / (255 if planes.max() > 1 else 1)
    _check_range(name, planes, 0, 1)
    check_visible_shape(name, planes)
    planes = planes.astype(np.float32)
    return planes[..., :3] @ _LUMINANCE if planes.shape[-1] > 1 else planes  # colours


def _channels_last(name: str, array: Array, allowed: tuple[int, ...]) -> Array:
    if array.ndim == 2:
        return array[..., None]
    first, last = _ends(array)
    if last in allowed:
        return array
    if first in allowed:
        return np.moveaxis(array, 0, -1)
    raise InvalidInputError(
        f"{name} has shape {array.shape}: one axis must hold the channels, "
        f"{' or '.join(map(str, allowed))} of them"
    )


def _resized(planes: FloatArray, height: int, width: int) -> FloatArray:
    """Resize [H, W, C] floats, each channel as a picture of its own."""
    from PIL import Image

    if planes.shape[:2] == (height, width):
        return planes
    low, high = planes.min(), planes.max()  # bicubic interpolation overshoots
    channels = [
        np.asarray(Image.fromarray(plane).resize((width, height), Image.Resampling.BICUBIC))
        for plane in np.moveaxis(planes, -1, 0)
    ]
    resized: FloatArray = np.clip(np.stack(channels, axis=-1), low, high)
    return resized


def _check_range(name: str, array: Array, low: float, high: float) -> None:
    # NaN fails both comparisons
    if not (array.min() >= low and array.max() <= high):
        raise InvalidInputError(
            f"{name} holds values from {array.min():g} to {array.max():g}: give floats from "
            f"{0 if high == 1 and low == 0 else -1} to 1, or integers from 0 to 255"
        )


def _stacked(found: list[FloatArray]) -> FloatArray:
    return np.stack(found).astype(np.float32)


def _kind(value: Any) -> str:
    return f"a {type(value).__name__}"
