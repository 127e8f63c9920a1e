"""The metadata that repeats a picture: pipelines collect it, `save_image` stores it in the file."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kandinsky_core import budgets
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.files import blocks, open_regular, read_regular, replace_file, why_not
from kandinsky_core.pictures.decoding import decode, reading
from kandinsky_core.pictures.exif_comment import exif_with_comment, user_comment
from kandinsky_core.pictures.fetching import is_url
from kandinsky_core.pictures.formats import PictureFormat, check_quality, picture_format

if TYPE_CHECKING:
    from PIL import Image

__all__ = [
    "PNG_KEY",
    "check_storable",
    "file_problems",
    "file_record",
    "image_bytes",
    "is_file_record",
    "metadata_of",
    "read_metadata",
    "save_image",
    "versions",
]

PNG_KEY = "kandinsky"
_COMMENT = "kandinsky: "  # a comment of another program does not begin so
_JPEG_MODES = ("1", "L", "RGB", "CMYK", "YCbCr")
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
        OSError: The file cannot be read, or it is more than a picture's file may be.
    """
    if is_url(path):
        return {"path": path}
    return {"path": path, "sha256": _digest(path, budgets.PICTURE_FILE_BYTES)[0]}


def is_file_record(value: Any) -> bool:
    """Return whether a value of a picture's metadata is what `file_record` returns."""
    return (
        isinstance(value, Mapping)
        and isinstance(value.get("path"), str)
        and isinstance(value.get("sha256", ""), str)
    )


def file_problems(records: Iterable[Mapping[str, str]]) -> list[str]:
    """Say which of the files that `file_record` described cannot be relied on, and why.

    The records may come from a stranger's picture, so only so many bytes are read for all of them.
    """
    problems, left = [], budgets.COMPARED_BYTES
    for record in records:
        path = record["path"]
        if "sha256" not in record:
            problems.append(f"{path} may have changed since: what a URL gives is not recorded")
            continue
        try:
            digest, size = _digest(path, min(left, budgets.PICTURE_FILE_BYTES))
        except OSError as error:
            problems.append(f"{path} cannot be read here: {why_not(error)}")
            continue
        left -= size
        if digest != record["sha256"]:
            problems.append(f"{path} has changed since the picture was made")
    return problems


def _digest(path: str, limit: int) -> tuple[str, int]:
    """Return the SHA-256 of a file, and the number of its bytes."""
    found, size = hashlib.sha256(), 0
    with open_regular(path, limit) as file:
        for block in blocks(file, limit):
            found.update(block)
            size += len(block)
    return found.hexdigest(), size


def save_image(
    image: Image.Image,
    path: str | Path,
    metadata: Mapping[str, Any],
    *,
    quality: int | None = None,
) -> None:
    """Write a picture with its metadata; `path` never holds an incomplete file.

    The suffix of the path chooses the format: `.png`, which loses nothing, `.jpg`, `.jpeg` or
    `.webp`. A PNG holds the metadata as a text, the others as the `UserComment` of Exif.

    Args:
        image: The picture.
        path: The file to write.
        metadata: What `read_metadata` returns.
        quality: From 1 to 100, for JPEG and WebP; None takes 95.

    Raises:
        InvalidInputError: The path has another suffix, the quality is out of range or PNG has none,
            the format cannot hold such a picture, or the metadata are too long or too deep for
            `read_metadata` or for the format.
        TypeError: The metadata hold what JSON cannot.
        OSError: The file cannot be written.
    """
    path = Path(path)
    form, settings = _ways(str(path), path, image, metadata, quality)
    with replace_file(path) as temporary:
        image.save(temporary, format=form.name, **settings)


def image_bytes(
    image: Image.Image,
    suffix: str,
    metadata: Mapping[str, Any],
    *,
    quality: int | None = None,
) -> bytes:
    """Return the bytes of the file that `save_image` would write.

    Args:
        image: The picture.
        suffix: `.png`, `.jpg`, `.jpeg` or `.webp`.
        metadata: As for `save_image`.
        quality: As for `save_image`.

    Raises:
        InvalidInputError: As for `save_image`.
        TypeError: The metadata hold what JSON cannot.
    """
    form, settings = _ways("the picture", Path(f"a{suffix}"), image, metadata, quality)
    held = BytesIO()
    image.save(held, format=form.name, **settings)
    return held.getvalue()


def _ways(
    subject: str,
    path: Path,
    image: Image.Image,
    metadata: Mapping[str, Any],
    quality: int | None,
) -> tuple[PictureFormat, dict[str, Any]]:
    """Return the format that a path chooses, and the arguments of PIL's `save`."""
    form = picture_format(path)
    settings: dict[str, Any] = {}
    if (level := check_quality("quality", quality, form)) is not None:
        settings["quality"] = level
    form.check_size(subject, *image.size)
    if form.name == "JPEG":
        settings["subsampling"] = 0  # made pictures have sharp edges between colours
        if image.mode not in _JPEG_MODES:
            raise InvalidInputError(
                f"{subject}: JPEG holds no picture of mode {image.mode}: convert it to RGB, or "
                "write it as .png"
            )
    return form, settings | _stored(subject, form, metadata)


def check_storable(name: str, form: PictureFormat, metadata: Mapping[str, Any]) -> None:
    """Refuse metadata that `save_image` could not store in a format.

    Args:
        name: What the error begins with.
        form: The format.
        metadata: The metadata.

    Raises:
        InvalidInputError: They are too long or too deep.
        TypeError: They hold what JSON cannot.
    """
    _stored(name, form, metadata)


def _stored(name: str, form: PictureFormat, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return the argument of PIL's `save` that stores metadata in a format."""
    from PIL.PngImagePlugin import PngInfo

    plain = form.name == "PNG"
    try:
        text = json.dumps(dict(metadata), ensure_ascii=not plain)
        _check(text, metadata)
        if form.longest_metadata is not None and len(text) > form.longest_metadata:
            raise ValueError(
                f"as {len(text):,} characters of ASCII they are more than the "
                f"{form.longest_metadata:,} that {form.name} holds: write it as .png"
            )
    except (RecursionError, ValueError) as error:
        raise InvalidInputError(f"{name}: the metadata cannot be written: {error}") from error
    if not plain:
        return {"exif": exif_with_comment(_COMMENT + text)}
    info = PngInfo()
    # A name of a file that is no UTF-8 has letters that are none; JSON writes them as escapes.
    info.add_itxt(PNG_KEY, text.encode("utf-8", "backslashreplace").decode())
    return {"pnginfo": info}


def read_metadata(path: str | Path) -> dict[str, Any]:
    """Return the metadata that `save_image` stored.

    Anybody can edit them, so their values may be of any type that JSON has.

    Raises:
        InvalidInputError: The file is no picture, or this library did not write it.
    """
    with reading(str(path), "cannot be read as a picture"):
        text = _text_of(decode(read_regular(path, budgets.PICTURE_FILE_BYTES)).info)
    if text is None:
        raise InvalidInputError(
            f"{path} holds no Kandinsky metadata: it was not made by this program"
        )
    return _parsed(str(path), text)


def metadata_of(image: Any) -> dict[str, Any]:
    """Return the metadata that came with a picture from its file; empty where none did.

    Args:
        image: A PIL picture, or anything else, which has none.

    Raises:
        InvalidInputError: The metadata are damaged.
    """
    info = getattr(image, "info", None)
    text = _text_of(info) if isinstance(info, Mapping) else None
    return {} if text is None else _parsed("image", text)


def _parsed(name: str, text: Any) -> dict[str, Any]:
    try:
        _check(text, None)
        data = json.loads(text)
        _check(text, data)
    except (RecursionError, TypeError, ValueError) as error:
        raise InvalidInputError(f"{name}: its Kandinsky metadata is damaged ({error})") from error
    if not isinstance(data, dict):
        raise InvalidInputError(f"{name}: its Kandinsky metadata is damaged (no JSON object)")
    return data


def _text_of(info: Mapping[Any, Any]) -> Any:
    """Return the JSON text among what PIL read from a picture's file; None where there is none."""
    if PNG_KEY in info:
        return info[PNG_KEY]
    block = info.get("exif")
    if not isinstance(block, bytes):
        return None
    comment = user_comment(block, len(_COMMENT) + budgets.METADATA_CHARACTERS)
    if comment is None or not comment.startswith(_COMMENT):
        return None
    return comment.removeprefix(_COMMENT)


def _check(text: str, data: Any) -> None:
    """Refuse metadata that are beyond their budgets."""
    if len(text) > budgets.METADATA_CHARACTERS:
        raise ValueError(
            f"{len(text):,} characters, more than {budgets.METADATA_CHARACTERS:,} of them"
        )
    level = [data]
    for _ in range(budgets.METADATA_DEPTH + 1):
        level = [part for part in level if isinstance(part, (Mapping, list, tuple))]
        if not level:
            return
        inner = (part.values() if isinstance(part, Mapping) else part for part in level)
        level = [item for items in inner for item in items]
    raise ValueError(f"lists and objects in more than {budgets.METADATA_DEPTH} levels")
