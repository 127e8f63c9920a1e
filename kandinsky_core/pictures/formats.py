"""The formats that pictures are written in, each chosen by the suffix of the file's name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kandinsky_core.errors import InvalidInputError

__all__ = ["PictureFormat", "check_quality", "picture_format"]


@dataclass(frozen=True, slots=True)
class PictureFormat:
    """A format that pictures are written in.

    Attributes:
        name: PIL's name of it.
        longest_side: Pixels that a side may have; None where files are bounded by memory alone.
        longest_metadata: Characters of metadata, in ASCII, that a file can hold.
        quality: Quality that is used where none is asked for; None where nothing is lost.
    """

    name: str
    longest_side: int | None
    longest_metadata: int | None
    quality: int | None

    def check_size(self, subject: str, width: int, height: int) -> None:
        """Refuse a picture whose sides the format cannot hold.

        Raises:
            InvalidInputError: A side is too long.
        """
        if self.longest_side is not None and max(width, height) > self.longest_side:
            raise InvalidInputError(
                f"{subject}: {self.name} holds at most {self.longest_side:,} pixels a side, the "
                f"picture has {width} x {height}: write it as .png"
            )


_JPEG = PictureFormat("JPEG", 65_500, 65_000, 95)
# A file's suffix in small letters -> its format. The Exif block of a JPEG is a segment of 64 KiB.
_BY_SUFFIX = {
    ".png": PictureFormat("PNG", None, None, None),
    ".jpg": _JPEG,
    ".jpeg": _JPEG,
    ".webp": PictureFormat("WEBP", 16_383, None, 95),
}


def picture_format(path: str | Path, subject: str | None = None) -> PictureFormat:
    """Return the format of a file by its suffix.

    Args:
        path: The file's path.
        subject: What the error begins with; by default it is the path.

    Raises:
        InvalidInputError: No picture is written with this suffix.
    """
    found = _BY_SUFFIX.get(Path(path).suffix.lower())
    if found is None:
        *others, last = _BY_SUFFIX
        raise InvalidInputError(
            f"{path if subject is None else subject}: pictures are written as {', '.join(others)} "
            f"or {last}: give a name with one of these"
        )
    return found


def check_quality(name: str, quality: int | None, form: PictureFormat) -> int | None:
    """Return the quality to write a picture with: the given one, or the format's own.

    Args:
        name: The argument's name, for the error.
        quality: From 1 to 100, or None.
        form: The format.

    Raises:
        InvalidInputError: The quality is out of range, or the format has none.
    """
    if quality is None:
        return form.quality
    if isinstance(quality, bool) or not isinstance(quality, int) or not 1 <= quality <= 100:
        raise InvalidInputError(f"{name}={quality!r}: give a whole number from 1 to 100")
    if form.quality is None:
        raise InvalidInputError(
            f"{name}={quality}: {form.name} loses nothing and has no quality: leave it out, or "
            "write a .jpg or .webp file"
        )
    return quality
