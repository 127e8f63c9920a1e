"""Turns a user's pictures, masks and hints into arrays of one size, from PIL, NumPy or a path.

A picture is one of these: a PIL picture; an array of integers from 0 to 255, [H, W, C] or
[C, H, W]; an array of floats from 0 to 1, or from -1 to 1 where any is negative; a list of these;
or an array with a batch axis in front. A PyTorch tensor on a CPU counts as an array.
"""

from __future__ import annotations

from collections.abc import Callable
from http.client import HTTPException
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kandinsky_core.arrays import Array, FloatArray
from kandinsky_core.errors import InvalidInputError

if TYPE_CHECKING:
    from PIL import Image

__all__ = [
    "as_array",
    "as_hints",
    "as_images",
    "as_masks",
    "eight_bit",
    "has_white",
    "load_image",
    "padded",
]

_CHANNELS = (1, 3, 4)
_DEEPEST = 4  # lists within lists; one that holds itself has no end
_LUMINANCE = np.array([[0.299], [0.587], [0.114]], np.float32)  # PIL's weights, from ITU-R 601
_TIMEOUT = 30.0  # seconds without an answer


def load_image(
    image: str | Path | Image.Image,
    convert_method: Callable[[Image.Image], Image.Image] | None = None,
) -> Image.Image:
    """Load a picture as RGB, turned as its EXIF data says.

    Args:
        image: Path, URL (`http://`, `https://`), or a PIL picture.
        convert_method: Function that replaces the conversion to RGB.

    Raises:
        InvalidInputError: There is no such file, the URL gives none, or the file is no picture.
    """
    from PIL import Image, ImageOps

    if isinstance(image, (str, Path)):
        turned = _opened(image)
    elif isinstance(image, Image.Image):
        turned = ImageOps.exif_transpose(image)
    else:
        raise InvalidInputError(f"image is {_kind(image)}: give a path, a URL or a PIL picture")
    return eight_bit(turned).convert("RGB") if convert_method is None else convert_method(turned)


def eight_bit(image: Image.Image) -> Image.Image:
    """Reduce a grey picture of 16 bits to 8; return any other picture as it is.

    Depth maps often have 16 bits. PIL's own conversions clip them, which leaves them almost white.
    """
    from PIL import Image

    if not image.mode.startswith("I"):
        return image
    values = np.asarray(image)
    # PIL may read a PNG of 16 bits into 32
    wide = image.mode != "I" or values.max() > 255
    return Image.fromarray(np.clip(values // (257 if wide else 1), 0, 255).astype(np.uint8))


def as_array(name: str, value: Any) -> Array:
    """Convert a value to an array of numbers, a PyTorch tensor of any dtype for example.

    Raises:
        InvalidInputError: The value holds anything but numbers and booleans.
    """
    if hasattr(value, "detach"):  # a PyTorch tensor, whose bfloat16 NumPy does not know
        value = value.detach().cpu().float() if value.is_floating_point() else value.detach().cpu()
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RecursionError) as error:  # unequal lists, or itself
        raise InvalidInputError(f"{name} is no array: {error}") from error
    if array.dtype.kind not in "biuf":
        raise InvalidInputError(
            f"{name} is {_kind(value)}: give a PIL picture, an array, or a list"
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
    signed = any(_is_float(item) and item.min() < 0 for item in items)
    return _stacked([_image(name, item, height, width, signed) for item in items])


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


def has_white(mask: Image.Image) -> bool:
    """Return whether a picture, taken for a mask, has a pixel that `as_masks` takes for white.

    This needs no size: a mask without one is refused before there is a model that says the size.
    """
    return bool(np.asarray(eight_bit(mask).convert("L")).max() >= 0.5 * 255)


def padded(array: FloatArray, height: int, width: int) -> FloatArray:
    """Repeat the last row and column of [..., H, W] until the size is reached."""
    missing = [(0, 0)] * (array.ndim - 2)
    missing += [(0, height - array.shape[-2]), (0, width - array.shape[-1])]
    return np.pad(array, missing, mode="edge")


def _items(name: str, value: Any, *, is_mask: bool = False, depth: int = 0) -> list[Any]:
    """Take a list or a batch apart into PIL pictures and arrays of two or three axes."""
    from PIL import Image

    if value is None:
        raise InvalidInputError(f"{name} is missing: give a PIL picture, an array, or a list")
    if isinstance(value, (list, tuple)):
        if not value:
            raise InvalidInputError(f"{name} is an empty list: give at least one picture")
        if depth == _DEEPEST:
            raise InvalidInputError(f"{name} has lists within lists: give one list of pictures")
        parts = (_items(name, part, is_mask=is_mask, depth=depth + 1) for part in value)
        return [item for part in parts for item in part]
    if isinstance(value, Image.Image):
        return [value]
    if isinstance(value, (str, Path)):
        raise InvalidInputError(f"{name}={str(value)!r}: open it with load_image first")
    array = as_array(name, value)
    # three axes of a mask are a batch unless one of them holds the channels
    several = is_mask and array.ndim == 3 and array.shape[0] > 1
    batch = array.ndim == 4 or (several and array.shape[-1] not in _CHANNELS)
    found = list(array) if batch else [array]
    for item in found:
        if item.ndim not in (2, 3) or not item.size:
            raise InvalidInputError(
                f"{name} has shape {array.shape}: give height x width x channels, "
                "channels x height x width, or a batch of such"
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
    item = eight_bit(item).resize((width, height), Image.Resampling.BICUBIC, reducing_gap=1)
    pixels = np.asarray(item.convert("RGB"), np.float32).transpose(2, 0, 1)
    return pixels / np.float32(127.5) - np.float32(1)


def _picture(name: str, planes: Array) -> Image.Image:
    """Make a PIL picture from [H, W, C] booleans or integers."""
    from PIL import Image

    planes = planes * 255 if planes.dtype.kind == "b" else planes
    _check_range(name, planes, 0, 255)
    grey = planes.shape[-1] == 1
    return Image.fromarray(planes.astype(np.uint8)[..., 0 if grey else slice(3)])


def _float_image(name: str, planes: Array, height: int, width: int, signed: bool) -> FloatArray:
    planes = planes.astype(np.float32)[..., :3]
    _check_range(name, planes, -1, 1)
    planes = planes if signed else planes * 2 - 1
    planes = _resized(planes, height, width).transpose(2, 0, 1)
    return np.repeat(planes, 3, axis=0) if len(planes) == 1 else planes


def _mask(name: str, item: Any, height: int, width: int) -> FloatArray:
    """Return a mask as [1, height, width] in [0, 1]."""
    from PIL import Image

    if isinstance(item, Image.Image):
        item = eight_bit(item).resize((width, height), Image.Resampling.LANCZOS).convert("L")
        return np.asarray(item, np.float32)[None] / 255
    planes = _channels_last(name, item, _CHANNELS)
    if planes.dtype.kind in "iu":
        _check_range(name, planes, 0, 255)
        planes = planes / (255 if planes.max() > 1 else 1)
    _check_range(name, planes, 0, 1)
    planes = planes.astype(np.float32)
    if planes.shape[-1] > 1:  # colours
        planes = planes[..., :3] @ _LUMINANCE
    return _resized(planes, height, width).transpose(2, 0, 1)


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


def _opened(source: str | Path) -> Image.Image:
    """Read a file or a URL, and turn the picture as its EXIF data says."""
    from PIL import Image, ImageOps

    remote = str(source).startswith(("http://", "https://"))
    try:
        with BytesIO(_fetched(str(source))) if remote else Path(source).open("rb") as file:
            return ImageOps.exif_transpose(Image.open(file))
    # OSError: files and sockets; the others: bad URLs, HTTP, and PIL for some damaged files
    except (OSError, ValueError, SyntaxError, HTTPException, Image.DecompressionBombError) as error:
        raise InvalidInputError(f"image {str(source)!r} cannot be read: {error}") from error


def _fetched(url: str) -> bytes:
    from urllib.request import Request, urlopen

    # some servers refuse Python's own name
    request = Request(url, headers={"User-Agent": "kandinsky-anywhere"})
    with urlopen(request, timeout=_TIMEOUT) as answer:
        content: bytes = answer.read()
    return content
