"""The comment in an Exif block: ours and PIL's, in both orders of bytes, and damaged ones."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from kandinsky_core.pictures.exif_comment import exif_with_comment, user_comment

LIMIT = 1000


def test_pil_reads_what_is_written() -> None:
    exif = Image.Exif()
    exif.load(exif_with_comment("a text"))
    assert exif.get_ifd(0x8769) == {0x9286: b"ASCII\0\0\0a text"}


def test_what_pil_writes_is_read() -> None:
    """With other tags, and with the high byte first."""
    exif = Image.Exif()
    exif[0x010E] = "a description"
    exif[0x8769] = {0x9003: "2024:01:01 00:00:00", 0x9286: b"ASCII\0\0\0a text"}
    block = exif.tobytes()
    assert block.startswith(b"Exif\0\0MM")
    assert user_comment(block, LIMIT) == "a text"
    assert user_comment(block.removeprefix(b"Exif\0\0"), LIMIT) == "a text"


def test_a_longer_text_is_not_read() -> None:
    block = exif_with_comment("a" * LIMIT)
    assert user_comment(block, LIMIT) == "a" * LIMIT
    assert user_comment(block, LIMIT - 1) is None


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"Exif\0\0",
        b"Exif\0\0II*\0",
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        exif_with_comment("a text")[:-1],
        exif_with_comment("a text").replace(b"ASCII", b"UNICO"),
        exif_with_comment("a text").replace(b"a text", b"a t\xe4xt"),
        struct.pack("<4sI", b"II*\0", 8) + b"\xff\xff",  # says that it has 65,535 entries
    ],
)
def test_other_and_damaged_blocks_have_no_text(block: bytes) -> None:
    assert user_comment(block, LIMIT) is None


@given(st.binary(max_size=60), st.integers(0, 60))
def test_no_bytes_raise(junk: bytes, place: int) -> None:
    block = exif_with_comment("a text")
    found = user_comment(block[:place] + junk + block[place + len(junk) :], LIMIT)
    assert found is None or found.isascii()
