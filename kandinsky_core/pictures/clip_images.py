"""From a picture to the pixels that the CLIP image encoder reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from kandinsky_core import budgets
from kandinsky_core.arrays import FloatArray
from kandinsky_core.errors import ConfigError, InvalidInputError
from kandinsky_core.pictures.inputs import as_array, as_images
from kandinsky_core.pictures.modes import to_rgb

__all__ = ["clip_pixels"]

# Defaults of transformers' CLIPImageProcessor, for fields that preprocessor_config.json omits.
_MEAN = (0.48145466, 0.4578275, 0.40821073)
_DEVIATION = (0.26862954, 0.26130258, 0.27577711)
_BICUBIC = 3
_STEPS = ("do_resize", "do_center_crop", "do_rescale", "do_normalize")


def clip_pixels(name: str, image: Any, config: Mapping[str, Any]) -> FloatArray:
    """Turn a picture into CLIP's pixels: resize its shorter side, cut out the middle, normalise.

    Args:
        name: The argument's name, for the error.
        image: A PIL picture, or an array of pixels; see `kandinsky_core.pictures.inputs`.
        config: Content of `preprocessor_config.json`. Source: transformers' CLIPImageProcessor.

    Returns:
        Pixels float32 [1, 3, S, S].

    Raises:
        InvalidInputError: `image` is no picture, or one that is far too long for its other side.
        ConfigError: The config asks for a step that no Kandinsky model asks for.
    """
    from PIL import Image

    skipped = [step for step in _STEPS if config.get(step, True) is not True]
    if skipped or config.get("resample", _BICUBIC) != _BICUBIC:
        raise ConfigError(
            f"preprocessor_config.json: {', '.join(skipped) or 'resample'} differs from CLIP's: "
            "only bicubic resizing, cropping, rescaling and normalising is supported"
        )
    if not isinstance(image, Image.Image):
        image = _picture(name, image)
    image = to_rgb(image, name)
    shortest = _side(config.get("size", 224), "shortest_edge")
    crop = _side(config.get("crop_size", 224), "height")
    width, height = image.size
    scale = shortest / min(width, height)
    # the longer side is rounded down to a whole number, as CLIPImageProcessor does
    size = (shortest, int(height * scale)) if width <= height else (int(width * scale), shortest)
    if size[0] * size[1] > budgets.PICTURE_PIXELS:
        raise InvalidInputError(
            f"{name} has {width} x {height} pixels, and {size[0]} x {size[1]} once its shorter "
            f"side has {shortest}: cut it to a form that is less long"
        )
    resized = np.asarray(image.resize(size, Image.Resampling.BICUBIC), np.float32)
    middle = _center(resized, crop)
    mean = np.float32(config.get("image_mean", _MEAN))
    deviation = np.float32(config.get("image_std", _DEVIATION))
    pixels: FloatArray = (middle / np.float32(255) - mean) / deviation
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])


def _picture(name: str, image: Any) -> Any:
    from PIL import Image

    array = as_array(name, image)
    if array.ndim not in (2, 3):
        raise InvalidInputError(
            f"{name} has shape {array.shape}: give one PIL picture or the pixels of one"
        )
    last = array.shape[-1] in (1, 3, 4) or array.ndim == 2
    height, width = array.shape[:2] if last else array.shape[1:]
    found = as_images(name, array, height, width)[0]  # [3, H, W] in [-1, 1]
    bytes_ = ((found + 1) * 127.5).round().astype(np.uint8)
    return Image.fromarray(bytes_.transpose(1, 2, 0))


def _side(value: Any, key: str) -> int:
    """Return a side in pixels: old files give a number, new files a mapping."""
    found = value.get(key) if isinstance(value, Mapping) else value
    if not isinstance(found, int) or found < 1:
        raise ConfigError(f"preprocessor_config.json: size {value!r}: give a number, or {key}")
    return found


def _center(pixels: FloatArray, side: int) -> FloatArray:
    """Cut out the middle of [H, W, 3], with black where the picture is smaller."""
    height, width = pixels.shape[:2]
    if height < side or width < side:
        top, left = max(-(-(side - height) // 2), 0), max(-(-(side - width) // 2), 0)
        pixels = np.pad(
            pixels,
            ((top, max(side - height - top, 0)), (left, max(side - width - left, 0)), (0, 0)),
        )
        height, width = pixels.shape[:2]
    top, left = (height - side) // 2, (width - side) // 2
    return pixels[top : top + side, left : left + side]
