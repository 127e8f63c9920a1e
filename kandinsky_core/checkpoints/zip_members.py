"""Lists the members of an uncompressed zip archive, and proves that no two of them share a byte.

Python's `zipfile` reads a list of any length, and trusts what it says of the members. Here the
list has a budget. All records must agree, and each member must lie where the list says.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from kandinsky_core.budgets import ZIP_DIRECTORY_BYTES, ZIP_MEMBERS

__all__ = ["NoArchiveError", "ZipMember", "read_member", "zip_members"]

_END = struct.Struct("<4s4H2LH")  # end of the list of members, at the end of the file
_LOCATOR = struct.Struct("<4sLQL")  # of the next record, between it and the first
_END_64 = struct.Struct("<4sQ2H2L4Q")  # the same as `_END`, with numbers of 64 bits
_ENTRY = struct.Struct("<4s6H3L5H2L")  # one member in the list
_LOCAL = struct.Struct("<4s5H3L2H")  # before the bytes of a member
_COMMENT = 1 << 16  # bytes of the longest comment at the end of an archive
_ENCRYPTED = 0x2041  # flags: encrypted, strongly encrypted, encrypted list
_FULL_16, _FULL_32 = 0xFFFF, 0xFFFFFFFF  # the number is in a record of 64 bits
_ZIP_64 = 1  # the tag of a member's numbers of 64 bits


class NoArchiveError(ValueError):
    """A file has no list of members at its end: it is no zip archive, or was cut."""


@dataclass(frozen=True, slots=True)
class ZipMember:
    """A member's place in the file, in bytes, and its checksum."""

    start: int
    size: int
    checksum: int


@dataclass(frozen=True, slots=True)
class _Listed:
    """A member as the list describes it; `offset` is where its local header begins."""

    name: bytes
    offset: int
    size: int
    checksum: int


def zip_members(file: BinaryIO) -> dict[str, ZipMember]:
    """Return the members of an archive by name, in the order of its list.

    Args:
        file: The archive.

    Raises:
        NoArchiveError: It is no zip archive.
        ValueError: It is damaged, compressed or encrypted, exceeds a budget, or two members have
            one name or share bytes.
    """
    begin, size, count = _directory(file)
    if size > ZIP_DIRECTORY_BYTES or count > ZIP_MEMBERS:
        raise ValueError(
            f"a list of {count:,} members in {size:,} bytes; allowed are {ZIP_MEMBERS:,} in "
            f"{ZIP_DIRECTORY_BYTES:,}"
        )
    file.seek(begin)
    listed = list(_entries(file.read(size)))
    if len(listed) != count:
        raise ValueError(f"{len(listed):,} members are listed, and {count:,} are counted")
    members: dict[str, ZipMember] = {}
    free = 0  # the first byte that belongs to no member so far
    for item in sorted(listed, key=lambda item: (item.offset, item.size)):
        start = _local(file, item)
        if item.offset < free or start + item.size > begin:
            raise ValueError(f"{item.name.decode('utf-8')!r} reaches into what is not its own")
        free = start + item.size
        members[item.name.decode("utf-8")] = ZipMember(start, item.size, item.checksum)
    if len(members) != len(listed):
        raise ValueError("two members have one name")
    return {name: members[name] for name in (item.name.decode("utf-8") for item in listed)}


def read_member(file: BinaryIO, member: ZipMember, most: int) -> bytes:
    """Return the bytes of a member.

    Raises:
        ValueError: It has more than `most` bytes, or others than its checksum says.
    """
    if member.size > most:
        raise ValueError(f"a member of {member.size:,} bytes; allowed are {most:,}")
    file.seek(member.start)
    content = file.read(member.size)
    if len(content) != member.size or zlib.crc32(content) != member.checksum:
        raise ValueError("other bytes than its checksum says")
    return content


def _directory(file: BinaryIO) -> tuple[int, int, int]:
    """Return position, bytes and number of members of the list."""
    file_size = file.seek(0, 2)
    tail_start = max(0, file_size - _COMMENT - _END.size)
    file.seek(tail_start)
    tail = file.read()
    place = tail.rfind(b"PK\x05\x06")
    if place < 0 or place + _END.size > len(tail):
        raise NoArchiveError("it is no zip archive")
    _, disk, first_disk, here, count, size, begin, comment = _END.unpack_from(tail, place)
    if place + _END.size + comment != len(tail):
        raise NoArchiveError("something stands behind its end")
    end = tail_start + place
    short: tuple[int, ...] = (disk, first_disk, here, count, size, begin)
    long, end = _directory_64(file, end)
    if long is not None:
        full = (_FULL_16,) * 4 + (_FULL_32,) * 2
        if any(a not in (b, most) for a, b, most in zip(short, long, full, strict=True)):
            raise ValueError("its two lists of members differ")
        short = long
    disk, first_disk, here, count, size, begin = short
    if (disk, first_disk) != (0, 0) or here != count or begin + size != end:
        raise ValueError("its list of members is not where its end says")
    return begin, size, count


def _directory_64(file: BinaryIO, end: int) -> tuple[tuple[int, ...] | None, int]:
    """Return the numbers of the 64-bit record, where there is one, and where the list must end."""
    if end < _LOCATOR.size:
        return None, end
    file.seek(end - _LOCATOR.size)
    mark, _, place, _ = _LOCATOR.unpack(file.read(_LOCATOR.size))
    if mark != b"PK\x06\x07":
        return None, end
    if place + _END_64.size > end - _LOCATOR.size:
        raise ValueError("its 64-bit record is not where its locator says")
    file.seek(place)
    mark, length, _, _, *numbers = _END_64.unpack(file.read(_END_64.size))
    if mark != b"PK\x06\x06" or place + 12 + length != end - _LOCATOR.size:
        raise ValueError("its 64-bit record is damaged")
    return tuple(numbers), place


def _entries(directory: bytes) -> Iterator[_Listed]:
    place = 0
    while place < len(directory):
        if len(directory) - place < _ENTRY.size:
            raise ValueError("its list of members is cut short")
        fields = _ENTRY.unpack_from(directory, place)
        mark, _, _, flags, method, _, _, checksum, packed, size, *rest = fields
        name_size, extra_size, comment_size, disk, _, _, offset = rest
        name_end = place + _ENTRY.size + name_size
        name = directory[name_end - name_size : name_end]
        place = name_end + extra_size + comment_size
        if mark != b"PK\x01\x02" or place > len(directory):
            raise ValueError("its list of members is damaged")
        if flags & _ENCRYPTED:
            raise ValueError(f"{name.decode('utf-8')!r} is encrypted, which PyTorch never does")
        if method:
            raise ValueError(f"{name.decode('utf-8')!r} is compressed, which PyTorch never does")
        extra = directory[name_end : name_end + extra_size]
        size, packed, offset = _numbers_64(extra, [size, packed, offset])
        if size != packed or disk:
            raise ValueError(f"{name.decode('utf-8')!r} has two sizes")
        yield _Listed(name, offset, size, checksum)


def _numbers_64(extra: bytes, numbers: list[int]) -> list[int]:
    """Replace the numbers that do not fit 32 bits by those of a member's extra field."""
    wanted = [index for index, number in enumerate(numbers) if number == _FULL_32]
    place = 0
    while wanted and place + 4 <= len(extra):
        tag, length = struct.unpack_from("<2H", extra, place)
        field = extra[place + 4 : place + 4 + length]
        if tag == _ZIP_64 and len(field) >= 8 * len(wanted):
            found = struct.unpack_from(f"<{len(wanted)}Q", field)
            for index, number in zip(wanted, found, strict=True):
                numbers[index] = number
            return numbers
        place += 4 + length
    if wanted:
        raise ValueError("a member's 64-bit sizes are missing")
    return numbers


def _local(file: BinaryIO, item: _Listed) -> int:
    """Return where the bytes of a member begin, behind the header that stands before them."""
    file.seek(item.offset)
    header = file.read(_LOCAL.size)
    if len(header) != _LOCAL.size:
        raise ValueError("a member is cut short")
    mark, _, flags, method, _, _, _, _, _, name_size, extra_size = _LOCAL.unpack(header)
    if mark != b"PK\x03\x04" or flags & _ENCRYPTED or method or name_size != len(item.name):
        raise ValueError(f"no header of {item.name.decode('utf-8')!r}")
    if file.read(name_size) != item.name:
        raise ValueError(f"the header of {item.name.decode('utf-8')!r} has another name")
    start: int = item.offset + _LOCAL.size + name_size + extra_size
    return start
