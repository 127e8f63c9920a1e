"""Reads uploaded pictures within limits, before anything is queued."""

from __future__ import annotations

import base64
import binascii
from io import BytesIO
from typing import TYPE_CHECKING

from kandinsky_core.errors import InvalidInputError
from kandinsky_core.pictures.decoding import decode, reading
from kandinsky_core.pictures.modes import to_rgb
from kandinsky_server.requests.api_errors import ApiError

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["decoded_data_url", "pixels_of", "read_mask", "read_picture"]

_FORMATS = ("PNG", "JPEG", "WEBP")


def decoded_data_url(param: str, text: str, limit: int) -> bytes:
    """Return the bytes of a data URL, or of plain base64. Other URLs are refused, never fetched.

    Raises:
        ApiError: It is another URL, no base64, or too long.
    """
    head, comma, content = text.partition(",") if text.startswith("data:") else ("", "", text)
    if "://" in text[:64]:
        raise ApiError(
            403,
            "url_not_allowed",
            f"{param}: this server fetches no URLs: send the picture itself",
            param=param,
        )
    if (head and not comma) or (head and not head.endswith(";base64")):
        raise ApiError.invalid(param, f"{param}: give a data URL such as data:image/png;base64,...")
    if len(content) > limit * 4 // 3 + 4:
        raise _too_large(param, limit)
    try:
        return base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError):
        raise ApiError.invalid(
            param, f"{param} is no base64: give a data URL such as data:image/png;base64,..."
        ) from None


def pixels_of(content: bytes) -> int:
    """Return how many pixels a file declares; 0 where it is none, which `read_picture` tells."""
    try:
        with reading("the picture"):
            width, height = decode(content).size
            return width * height
    except InvalidInputError:
        return 0


def read_picture(param: str, content: bytes, *, most_bytes: int, most_pixels: int) -> bytes:
    """Return an uploaded picture as an RGB PNG, turned as its Exif data say.

    Raises:
        ApiError: It is no PNG, JPEG or WebP, is damaged, or is too large.
    """
    return _as_png(_opened(param, content, most_bytes, most_pixels, transparent=False))


def read_mask(param: str, content: bytes, *, most_bytes: int, most_pixels: int) -> bytes:
    """Return an uploaded mask as a grey PNG, white where to repaint.

    A mask with transparency is OpenAI's: it repaints what is transparent. A mask without is white
    where to repaint.

    Raises:
        ApiError: As for `read_picture`, or nothing is to be repainted.
    """
    from PIL import ImageOps

    picture = _opened(param, content, most_bytes, most_pixels, transparent=True)
    clear = "A" in picture.getbands() and _least(picture.getchannel("A")) < 255
    grey = (
        ImageOps.invert(picture.getchannel("A")) if clear else to_rgb(picture, param).convert("L")
    )
    if _most(grey) < 128:
        raise ApiError.invalid(
            param,
            f"{param} repaints nothing: make what to repaint transparent, or white in a mask "
            "without transparency",
        )
    return _as_png(grey)


def _opened(
    param: str, content: bytes, most_bytes: int, most_pixels: int, *, transparent: bool
) -> Image.Image:
    from PIL import ImageOps

    if len(content) > most_bytes:
        raise _too_large(param, most_bytes)

    def check_size(width: int, height: int) -> None:
        if width * height > most_pixels:
            raise ValueError(
                f"it has {width} x {height} pixels: send at most {most_pixels:,} of them"
            )

    try:
        with reading(param, "cannot be read as a picture"):
            picture = decode(content, check_size)
            if picture.format not in _FORMATS:
                raise ValueError(f"it is a {picture.format}: send a PNG, a JPEG or a WebP")
            turned = ImageOps.exif_transpose(picture)
            if not transparent:
                return to_rgb(turned, param)
            return (
                turned.convert("RGBA") if turned.mode in ("P", "PA", "LA", "La", "RGBa") else turned
            )
    except InvalidInputError as error:
        raise ApiError.invalid(param, str(error), "image_undecodable") from error


def _least(plane: Image.Image) -> int:
    return int(plane.getextrema()[0])  # type: ignore[arg-type]  # it has one band


def _most(plane: Image.Image) -> int:
    return int(plane.getextrema()[1])  # type: ignore[arg-type]


def _as_png(picture: Image.Image) -> bytes:
    held = BytesIO()
    picture.save(held, "PNG", compress_level=1)
    return held.getvalue()


def _too_large(param: str, limit: int) -> ApiError:
    return ApiError(
        413,
        "body_too_large",
        f"{param} has more than {limit:,} bytes: send a smaller file",
        param=param,
    )
