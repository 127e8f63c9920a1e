"""Bytes that anybody may have made: a picture, or one error of one kind."""

from __future__ import annotations

import io
import json
import os
import random
import struct
import warnings
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from kandinsky_core import budgets, load_image, read_metadata
from kandinsky_core.errors import InvalidInputError, KandinskyError
from kandinsky_core.pictures.decoding import FORMATS, decode
from kandinsky_core.pictures.inputs import as_images
from kandinsky_core.pictures.metadata import PNG_KEY

BYTES = np.random.default_rng(0).integers(0, 256, (9, 12, 3), np.uint8)
PICTURE = Image.fromarray(BYTES)


def encoded(name: str, picture: Image.Image = PICTURE, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, name, **options)
    return buffer.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def with_chunk(kind: bytes, data: bytes) -> bytes:
    """A PNG with a chunk of its own behind the header."""
    whole = encoded("PNG")
    return whole[:33] + chunk(kind, data) + whole[33:]


def saved(folder: Path, content: bytes) -> Path:
    path = folder / "a.png"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("name", FORMATS)
def test_each_format_is_read(tmp_path: Path, name: str) -> None:
    Image.init()
    if name not in Image.SAVE:
        pytest.skip("PIL was built without it")
    found = load_image(saved(tmp_path, encoded(name)))
    assert (found.mode, found.size) == ("RGB", PICTURE.size)
    if name in {"PNG", "BMP", "TIFF", "PPM"}:
        np.testing.assert_array_equal(np.asarray(found), BYTES)


@pytest.mark.parametrize("name", ["PNG", "GIF", "WEBP", "TIFF", "JPEG"])
def test_the_first_of_several_pictures_is_taken(tmp_path: Path, name: str) -> None:
    frames = [Image.new("RGB", (16, 16), (shade, shade, shade)) for shade in (50, 250)]
    form = "MPO" if name == "JPEG" else name
    content = encoded(form, frames[0], save_all=True, append_images=frames[1:])
    found = np.asarray(load_image(saved(tmp_path, content)))
    np.testing.assert_allclose(found, 50, atol=3)


@pytest.mark.parametrize(
    "content",
    [
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n",
        encoded("ICO", PICTURE.resize((16, 16))),
        encoded("PCX"),
        b"P",
        b"GIF",
        b"no picture at all",
    ],
)
def test_other_formats_are_refused_by_name(tmp_path: Path, content: bytes) -> None:
    said = "cannot be read: it is no picture in one of the formats PNG, JPEG, WEBP, GIF, BMP"
    with pytest.raises(InvalidInputError, match=said):
        load_image(saved(tmp_path, content))


def test_an_empty_file_is_said_to_be_empty(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"a.png' cannot be read: the file is empty"):
        load_image(saved(tmp_path, b""))
    with pytest.raises(InvalidInputError, match="as a picture: the file is empty"):
        read_metadata(tmp_path / "a.png")


# Budgets


def test_a_picture_of_too_many_pixels_is_refused_without_a_warning(tmp_path: Path) -> None:
    """PIL itself warns of this size, and goes on."""
    side = int(1.2 * budgets.PICTURE_PIXELS**0.5)
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    whole = encoded("PNG")
    path = saved(tmp_path, whole[:8] + chunk(b"IHDR", header) + whole[33:])
    limit = Image.MAX_IMAGE_PIXELS
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises(InvalidInputError, match=f"it has {side} x {side} pixels, more than"):
            load_image(path)
        with pytest.raises(InvalidInputError, match=f"it has {side} x {side} pixels, more than"):
            read_metadata(path)
    assert not caught
    assert limit == Image.MAX_IMAGE_PIXELS


def test_pixels_are_counted_up_to_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budgets, "PICTURE_PIXELS", 9 * 12)
    assert decode(encoded("PNG")).size == PICTURE.size
    monkeypatch.setattr(budgets, "PICTURE_PIXELS", 9 * 12 - 1)
    with pytest.raises(ValueError, match="it has 12 x 9 pixels, more than the 107"):
        decode(encoded("PNG"))


def test_bytes_are_counted_up_to_the_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path, encoded("PNG"))
    size = path.stat().st_size
    monkeypatch.setattr(budgets, "PICTURE_FILE_BYTES", size)
    load_image(path)
    monkeypatch.setattr(budgets, "PICTURE_FILE_BYTES", size - 1)
    for read in (load_image, read_metadata):
        with pytest.raises(InvalidInputError, match=f"it has {size} bytes, more than"):
            read(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_what_has_no_end_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    for path in (tmp_path / "pipe.png", Path("/dev/zero"), tmp_path):
        for read in (load_image, read_metadata):
            with pytest.raises(InvalidInputError, match=r"it is no regular file, but a "):
                read(path)


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt", b"iCCP"])
def test_texts_that_unpack_to_gigabytes_are_refused(tmp_path: Path, kind: bytes) -> None:
    key = PNG_KEY.encode() + b"\0"
    head = key + (b"\1\0\0\0" if kind == b"iTXt" else b"\0")
    path = saved(tmp_path, with_chunk(kind, head + zlib.compress(b"[" * 3_000_000)))
    for read in (load_image, read_metadata):
        with pytest.raises(InvalidInputError, match="cannot be read"):
            read(path)


def test_a_damaged_picture_that_pil_opened_is_refused_where_it_is_used(tmp_path: Path) -> None:
    path = saved(tmp_path, encoded("PNG")[:-60])
    for read in (load_image, lambda picture: as_images("image", picture, 4, 4)):
        with (
            Image.open(path) as picture,
            pytest.raises(InvalidInputError, match="image cannot be read: "),
        ):
            read(picture)


# Damage at random


def text_chunk(text: str) -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    info.add_itxt(PNG_KEY, text)
    return info


def damaged(content: bytes, choose: random.Random) -> bytes:
    """Change, cut out or repeat a few bytes; half of the changes come early, where headers are."""
    found = bytearray(content)
    for _ in range(choose.randint(1, 4)):
        early = choose.random() < 0.5
        place = choose.randrange(min(len(found), 80) if early else len(found))
        way = choose.randrange(5)
        if way == 0:
            found[place] = choose.choice([0, 1, 0x7F, 0x80, 0xFF, choose.randrange(256)])
        elif way == 1:
            found[place] ^= 1 << choose.randrange(8)
        elif way == 2:
            del found[place : place + choose.randint(1, 3)]
        elif way == 3:
            found[place:place] = found[place : place + 8]
        else:
            del found[max(place, 16) :]
    return bytes(found)


def checksums_mended(content: bytes) -> bytes:
    """Make the checksums of a PNG fit, so that its chunks are looked at."""
    found, place = content[:8], 8
    while place + 8 <= len(content):
        (size,) = struct.unpack(">I", content[place : place + 4])
        found += chunk(content[place + 4 : place + 8], content[place + 8 : place + 8 + size])
        place += 12 + size
    return found


METADATA = {"program": "kandinsky generate", "prompt": "a", "items": [{"path": "b"}], "seed": 1e3}
EXIF = Image.Exif()
EXIF[0x0112] = 6  # turned
SEEDS = {
    "PNG": encoded("PNG", pnginfo=text_chunk(json.dumps(METADATA)), exif=EXIF, dpi=(9, 9)),
    "PNG with a palette": encoded("PNG", PICTURE.quantize(7), transparency=b"\0\x80"),
    "PNG of 16 bits": encoded("PNG", Image.fromarray(BYTES[..., 0].astype(np.uint16) * 257)),
    "JPEG": encoded("JPEG", exif=EXIF),
    "WEBP": encoded("WEBP"),
    "GIF": encoded("GIF", PICTURE.quantize(7), transparency=0),
    "TIFF": encoded("TIFF", compression="tiff_lzw"),
    "BMP": encoded("BMP"),
}


@pytest.mark.filterwarnings("ignore")  # PIL tells of damage that it can do without
@pytest.mark.parametrize("name", SEEDS)
def test_damaged_pictures_are_read_or_refused(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budgets, "PICTURE_PIXELS", 10_000)  # so that no case takes long
    choose, refused = random.Random(name), 0
    for number in range(40):
        content = damaged(SEEDS[name], choose) if number else SEEDS[name]
        if name.startswith("PNG") and number % 3:
            content = checksums_mended(content)
        path = saved(tmp_path, content)
        try:
            assert load_image(path).mode == "RGB"
        except KandinskyError:
            refused += 1
        with suppress(KandinskyError):
            assert isinstance(read_metadata(path), dict)
    assert 0 < refused < 40, "the damage is always or never noticed"


def test_damaged_metadata_are_read_or_refused(tmp_path: Path) -> None:
    choose, read = random.Random(0), 0
    for _ in range(200):
        info = text_chunk(damaged(json.dumps(METADATA).encode(), choose).decode("latin-1"))
        path = saved(tmp_path, encoded("PNG", Image.new("L", (1, 1)), pnginfo=info))
        try:
            assert isinstance(read_metadata(path), dict)
            read += 1
        except KandinskyError:
            continue
    assert 10 < read < 190, "the damage is always or never noticed"
