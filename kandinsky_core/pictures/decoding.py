"""Decodes the bytes of a picture, which may come from anybody, within budgets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import TYPE_CHECKING

from kandinsky_core import budgets
from kandinsky_core.errors import InvalidInputError, KandinskyError
from kandinsky_core.files import why_not

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

__all__ = ["FORMATS", "decode", "reading"]

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF")
"""Formats by PIL's names, all of which PIL decodes itself. For EPS it would start Ghostscript."""

_START = 16  # bytes by which PIL tells formats apart


@contextmanager
def reading(subject: str, failure: str = "cannot be read") -> Iterator[None]:
    """Turn whatever goes wrong while a picture is read into one error.

    Args:
        subject: What is read, for the error.
        failure: What the error says of it.

    Raises:
        InvalidInputError: PIL or the system raised something.
    """
    try:
        yield
    except KandinskyError:
        raise
    # PIL's decoders raise whatever their arithmetic on damaged bytes raises: OSError, SyntaxError,
    # KeyError, OverflowError, AssertionError and more.
    except Exception as error:
        raise InvalidInputError(f"{subject} {failure}: {why_not(error)}") from error


def decode(content: bytes, check_size: Callable[[int, int], None] | None = None) -> ImageFile:
    """Open a picture: its size and texts are read at once, its pixels when they are needed.

    So a few bytes that declare a huge picture are refused before it takes any memory. PIL's own
    `Image.open` takes any format, and only warns of sizes that this function refuses. Of a file
    with several pictures, the first one is opened.

    Args:
        content: The bytes of the file.
        check_size: Called with width and height; it raises where they are too much for what is to
            be done with the pixels.

    Raises:
        ValueError: The content is empty, of no format of `FORMATS`, or has too many pixels.
        Exception: The content is damaged; see `reading`.
    """
    from PIL import Image

    if not content:
        raise ValueError("the file is empty")
    Image.init()  # makes formats known that are not among the commonest
    start = content[:_START].ljust(_START, b"\0")
    for name in FORMATS:
        # PIL may have been built without some of them
        opener, accepts = Image.OPEN.get(name, (None, None))
        if opener is None or accepts is None or accepts(start) is not True:
            continue
        picture = opener(BytesIO(content), "")
        width, height = picture.size
        if width * height > budgets.PICTURE_PIXELS:
            raise ValueError(
                f"it has {width} x {height} pixels, more than the {budgets.PICTURE_PIXELS:,} "
                "that are decoded: make it smaller first"
            )
        if check_size is not None:
            check_size(width, height)
        return picture
    raise ValueError(f"it is no picture in one of the formats {', '.join(FORMATS)}")
