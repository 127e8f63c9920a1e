"""The metadata that repeats a picture: pipelines collect it, `save_image` stores it in the PNG."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kandinsky_core.errors import InvalidInputError
from kandinsky_core.files import replace_file

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["PNG_KEY", "file_problem", "file_record", "read_metadata", "save_image", "versions"]

PNG_KEY = "kandinsky"
_PACKAGES = ("kandinsky-anywhere", "numpy", "jax", "jaxlib", "flax", "mindspore", "mindone")


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that shape the numbers."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def file_record(path: str) -> dict[str, str]:
    """Return what a picture's metadata records about a file or URL that it was made from.

    The record holds the path as it was given, and for a file its SHA-256. A URL gets no SHA-256,
    since others decide what it delivers.

    Raises:
        OSError: The file cannot be read.
    """
    if path.startswith(("http://", "https://")):
        return {"path": path}
    return {"path": path, "sha256": hashlib.sha256(Path(path).read_bytes()).hexdigest()}


def file_problem(record: Mapping[str, str]) -> str | None:
    """Say why a file that `file_record` described cannot be relied on; None if it is unchanged."""
    path = record["path"]
    if "sha256" not in record:
        return f"{path} may have changed since: what a URL gives is not recorded"
    try:
        same = file_record(path) == record
    except OSError as error:
        return f"{path} cannot be read here: {error.strerror}"
    return None if same else f"{path} has changed since the picture was made"


def save_image(image: Image.Image, path: str | Path, metadata: Mapping[str, Any]) -> None:
    """Write a picture as PNG with its metadata; `path` never holds an incomplete file.

    Raises:
        InvalidInputError: The path does not end in `.png`.
        OSError: The file cannot be written.
    """
    from PIL.PngImagePlugin import PngInfo

    path = Path(path)
    if path.suffix.lower() != ".png":
        raise InvalidInputError(f"{path}: pictures are written as .png, which keeps their metadata")
    info = PngInfo()
    info.add_itxt(PNG_KEY, json.dumps(dict(metadata), ensure_ascii=False))
    with replace_file(path) as temporary:
        image.save(temporary, format="PNG", pnginfo=info)


def read_metadata(path: str | Path) -> dict[str, Any]:
    """Return the metadata that `save_image` stored.

    Raises:
        InvalidInputError: The file is no picture, or this library did not write it.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            text = image.info.get(PNG_KEY)
    except (OSError, UnidentifiedImageError) as error:
        raise InvalidInputError(f"{path} cannot be read as a picture: {error}") from error
    if text is None:
        raise InvalidInputError(
            f"{path} holds no Kandinsky metadata: it was not made by this program"
        )
    try:
        data = json.loads(text)
    except (TypeError, ValueError) as error:
        raise InvalidInputError(f"{path}: its Kandinsky metadata is damaged ({error})") from error
    if not isinstance(data, dict):
        raise InvalidInputError(f"{path}: its Kandinsky metadata is damaged (no JSON object)")
    return data
