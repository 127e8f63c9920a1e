"""The list of a zip archive's members: what it says is checked, and it has a budget."""

from __future__ import annotations

import io
import struct
import zipfile

import pytest

from kandinsky_core.checkpoints import zip_members as module
from kandinsky_core.checkpoints.zip_members import NoArchiveError, read_member, zip_members

CONTENT = {"archive/data.pkl": b"pickle", "archive/data/0": b"\1\2\3\4", "archive/data/1": b""}


def archive(comment: bytes = b"") -> bytearray:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as file:
        for name, content in CONTENT.items():
            file.writestr(name, content)
        file.comment = comment
    return bytearray(made.getvalue())


def with_64_bits(made: bytearray, **lies: int) -> bytes:
    """The archive with a 64-bit end record, as PyTorch writes it."""
    end = len(made) - 22
    _, _, _, here, count, size, begin, _ = struct.unpack_from("<4s4H2LH", made, end)
    true = {"count": count, "size": size, "begin": begin, "place": end} | lies
    record = struct.pack("<4sQ2H2L", b"PK\x06\x06", 44, 45, 45, 0, 0)
    record += struct.pack("<4Q", here, true["count"], true["size"], true["begin"])
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, true["place"], 1)
    return bytes(made[:end] + record + locator + made[end:])


def refused(content: bytes | bytearray) -> str:
    with pytest.raises(ValueError, match=r".") as caught:
        zip_members(io.BytesIO(content))
    return str(caught.value)


@pytest.mark.parametrize("content", [archive(), archive(b"PK"), with_64_bits(archive())])
def test_members_are_found(content: bytes) -> None:
    file = io.BytesIO(content)
    found = zip_members(file)
    assert list(found) == list(CONTENT)
    for name, member in found.items():
        assert read_member(file, member, 6) == CONTENT[name]
    with pytest.raises(ValueError, match="a member of 6 bytes; allowed are 5"):
        read_member(file, found["archive/data.pkl"], 5)


@pytest.mark.parametrize("lie", ["count", "size", "begin", "place"])
@pytest.mark.parametrize("value", [0, 1, 1 << 40, (1 << 64) - 1])
def test_the_64_bit_record_cannot_lie(lie: str, value: int) -> None:
    refused(with_64_bits(archive(), **{lie: value}))


def test_a_member_has_64_bit_numbers_where_they_are_needed() -> None:
    """No test has four gigabytes, so the small numbers are moved to the extra field."""
    made = archive()
    entry = made.index(b"PK\x01\x02")
    size, name_size = struct.unpack_from("<LH", made, entry + 24)
    struct.pack_into("<2L", made, entry + 20, 0xFFFFFFFF, 0xFFFFFFFF)
    assert "64-bit sizes are missing" in refused(made)
    struct.pack_into("<H", made, entry + 30, 20)
    place = entry + 46 + name_size
    made[place:place] = struct.pack("<2H2Q", 1, 16, size, size)
    end = len(made) - 22
    struct.pack_into("<L", made, end + 12, struct.unpack_from("<L", made, end + 12)[0] + 20)
    assert zip_members(io.BytesIO(made))["archive/data.pkl"].size == size


def field(made: bytearray, mark: bytes, offset: int, form: str, value: int) -> bytearray:
    """Overwrite a number in the last record with this mark."""
    struct.pack_into(form, made, made.rindex(mark) + offset, value)
    return made


@pytest.mark.parametrize(
    ("mark", "offset", "form", "value", "said"),
    [
        (b"PK\x01\x02", 8, "<H", 1, "is encrypted"),
        (b"PK\x03\x04", 6, "<H", 1, "no header"),
        (b"PK\x01\x02", 10, "<H", 8, "is compressed"),
        (b"PK\x01\x02", 24, "<L", 5, "two sizes"),
        (b"PK\x01\x02", 42, "<L", 0, "another name|no header"),
        (b"PK\x01\x02", 42, "<L", 1 << 31, "cut short"),
        (b"PK\x05\x06", 10, "<H", 2, "is not where"),
        (b"PK\x05\x06", 12, "<L", 7, "is not where"),
        (b"PK\x05\x06", 16, "<L", 7, "is not where"),
        (b"PK\x05\x06", 20, "<H", 7, "behind its end"),
    ],
)
def test_each_lie_is_refused(mark: bytes, offset: int, form: str, value: int, said: str) -> None:
    text = refused(field(archive(), mark, offset, form, value))
    assert any(part in text for part in said.split("|")), text


def test_a_member_that_reaches_into_another_is_refused() -> None:
    """Else one storage would show the values of another."""
    made = archive()
    entry = made.index(b"PK\x01\x02", made.index(b"PK\x01\x02") + 4)  # of archive/data/0
    struct.pack_into("<2L", made, entry + 20, 30, 30)
    assert "reaches into what is not its own" in refused(made)


def test_two_members_of_one_name_are_refused() -> None:
    made = bytes(archive()).replace(b"archive/data/1", b"archive/data/0")
    assert "two members have one name" in refused(made)


def test_a_list_beyond_its_budget_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ZIP_MEMBERS", 2)
    assert "a list of 3 members" in refused(archive())
    huge = with_64_bits(archive(), count=1 << 40)
    assert "differ" in refused(huge)


def test_every_cut_is_refused() -> None:
    made = archive()
    for length in range(len(made)):
        with pytest.raises(NoArchiveError):
            zip_members(io.BytesIO(made[:length]))
