"""The one table of budgets: how much is read of what comes from outside, before it is refused."""

from __future__ import annotations

__all__ = [
    "COMPARED_BYTES",
    "METADATA_CHARACTERS",
    "METADATA_DEPTH",
    "PICTURE_FILE_BYTES",
    "PICTURE_PIXELS",
    "PICTURE_URL_SECONDS",
]

PICTURE_FILE_BYTES: int = 256 * 2**20
"""Bytes of one picture, in a file or behind a URL."""

PICTURE_PIXELS: int = 89_478_485
"""Pixels of one picture, 256 MiB of RGB. Above this number PIL itself warns of a bomb."""

PICTURE_URL_SECONDS: int = 120
"""Seconds until a URL must have delivered its picture, all redirects included."""

COMPARED_BYTES: int = 2**30
"""Bytes of all files together that `kandinsky info` compares with a picture's metadata."""

METADATA_CHARACTERS: int = 2**20
"""Characters of the metadata in a picture, as JSON text."""

METADATA_DEPTH: int = 32
"""Levels of objects and lists in the metadata of a picture."""
