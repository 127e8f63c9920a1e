"""A text in the Exif block of a JPEG or WebP file: the tag `UserComment`, in ASCII.

The layout is that of TIFF 6.0 and Exif 2.3: a directory of 12-byte entries, of which one leads to
the Exif directory, of which one leads to the comment. PIL can read it too, but keeps a copy of
what every entry points at, and a stranger's entries may all point at one long text.
"""

from __future__ import annotations

import struct
from collections.abc import Collection

__all__ = ["exif_with_comment", "user_comment"]

_MARK = b"Exif\0\0"  # a JPEG segment begins with it; in WebP it may be missing
_ASCII = b"ASCII\0\0\0"  # names the letters that follow it
_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}  # how the block begins -> its order of bytes
_EXIF_DIRECTORY, _USER_COMMENT = 0x8769, 0x9286
_BYTE, _LONG, _UNDEFINED = 1, 4, 7  # types of an entry's value
_COMMENT_TYPES = (_UNDEFINED, _BYTE)  # Exif asks for the first, PIL writes the second
_ENTRY = 12
_DIRECTORY = 2 + _ENTRY + 4  # bytes of a directory of one entry


def exif_with_comment(text: str) -> bytes:
    """Return an Exif block that holds one thing: a text of ASCII letters as `UserComment`."""
    comment = _ASCII + text.encode("ascii")
    start = 8 + _DIRECTORY
    return b"".join(
        (
            _MARK,
            struct.pack("<4sI", b"II*\0", 8),
            struct.pack("<HHHIII", 1, _EXIF_DIRECTORY, _LONG, 1, start, 0),
            struct.pack(
                "<HHHIII", 1, _USER_COMMENT, _UNDEFINED, len(comment), start + _DIRECTORY, 0
            ),
            comment,
        )
    )


def user_comment(block: bytes, limit: int) -> str | None:
    """Return the text of `UserComment`, whoever wrote the block.

    Args:
        block: An Exif block.
        limit: Longest text that is returned, in characters.

    Returns:
        None where there is no such tag, it is not in ASCII, it is longer, or the block is damaged.
    """
    content = memoryview(block.removeprefix(_MARK))
    order = _ORDERS.get(bytes(content[:4]))
    if order is None:
        return None
    try:
        (first,) = struct.unpack_from(f"{order}I", content, 4)
        _, place = _entry(content, order, first, _EXIF_DIRECTORY, (_LONG,))
        size, start = _entry(content, order, place, _USER_COMMENT, _COMMENT_TYPES)
    except (LookupError, struct.error):  # the block ends before what it names
        return None
    if not len(_ASCII) <= size <= len(_ASCII) + limit or start + size > len(content):
        return None
    found = bytes(content[start : start + size])
    text = found.removeprefix(_ASCII)
    return text.decode("ascii") if text != found and text.isascii() else None


def _entry(
    block: memoryview, order: str, place: int, tag: int, types: Collection[int]
) -> tuple[int, int]:
    """Return the number of values of a directory's entry, and the number in its last field.

    Of entries with one tag the last one counts, as for PIL.

    Raises:
        LookupError: The directory has no such entry of these types.
        struct.error: The block ends within the directory.
    """
    (count,) = struct.unpack_from(f"{order}H", block, place)
    found = None
    for index in range(count):
        name, kind, size, value = struct.unpack_from(
            f"{order}HHII", block, place + 2 + index * _ENTRY
        )
        if name == tag and kind in types:
            found = size, value
    if found is None:
        raise LookupError(tag)
    return found
