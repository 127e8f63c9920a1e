"""Turns finished pictures and previews into the bytes of files."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

from kandinsky_core.pictures.metadata import image_bytes
from kandinsky_server.requests.picture_request import PictureRequest
from kandinsky_server.work.engine import Drawn

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["MEDIA_TYPES", "picture_file", "preview_file"]

MEDIA_TYPES = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}
"""Format -> its media type."""


def picture_file(drawn: Drawn, request: PictureRequest) -> bytes:
    """Return a picture's file, with all that makes it again."""
    lossless = request.output_format == "png"
    quality = None if lossless else request.output_compression or None
    metadata = {"program": "kandinsky serve", **drawn.metadata}
    return image_bytes(drawn.image, f".{request.output_format}", metadata, quality=quality)


def preview_file(image: Image.Image, request: PictureRequest) -> bytes:
    """Return a preview's file, in the format of the finished picture."""
    held = BytesIO()
    form = request.output_format.upper()
    image.save(held, form, **({} if form == "PNG" else {"quality": 70}))
    return held.getvalue()
