"""Opens a picture or a mask from a path, a URL or a PIL picture, as RGB."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from kandinsky_core import budgets
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.files import read_regular
from kandinsky_core.pictures.decoding import decode, reading
from kandinsky_core.pictures.fetching import fetch, is_url, other_scheme
from kandinsky_core.pictures.modes import check_visible_shape, to_rgb

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["load_image", "load_mask", "load_within"]


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
        name, turned = _named(image), _opened(image)
    elif isinstance(image, Image.Image):
        name = "image"
        with reading(name):
            turned = ImageOps.exif_transpose(image)
    else:
        raise InvalidInputError(
            f"image is a {type(image).__name__}: give a path, a URL or a PIL picture"
        )
    return to_rgb(turned, name) if convert_method is None else convert_method(turned)


def load_mask(image: str | Path | Image.Image) -> Image.Image:
    """Load a mask as `load_image` does, and look at its transparency before that is dropped.

    Raises:
        InvalidInputError: As for `load_image`, or the shape of the mask lies in its transparency.
    """

    def visible(found: Image.Image) -> Image.Image:
        check_visible_shape("the mask", found)
        return to_rgb(found, "the mask")

    return load_image(image, visible)


def load_within(source: str | Path, check_size: Callable[[int, int], None]) -> Image.Image:
    """Load a picture of a size that is allowed, as `load_image` does but in its own mode.

    Args:
        source: Path or URL.
        check_size: Called with width and height before a pixel is decoded; it raises where they are
            too much.

    Raises:
        InvalidInputError: As for `load_image`.
        KandinskyError: What `check_size` raises.
    """
    return _opened(source, check_size)


def _named(source: str | Path) -> str:
    return f"image {str(source)!r}"


def _opened(
    source: str | Path, check_size: Callable[[int, int], None] | None = None
) -> Image.Image:
    """Read a file or a URL, and turn the picture as its EXIF data says."""
    from PIL import ImageOps

    text = str(source)
    scheme = other_scheme(text)
    if scheme is not None:
        raise InvalidInputError(
            f"{_named(source)} is a URL of {scheme}: give a path, or a URL that begins with "
            "http:// or https://"
        )
    with reading(_named(source)):
        content = fetch(text) if is_url(text) else read_regular(source, budgets.PICTURE_FILE_BYTES)
        picture = decode(content, check_size)
        picture.load()
        return ImageOps.exif_transpose(picture)
