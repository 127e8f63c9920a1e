"""What lies in the PNG, and how it is written."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, PngImagePlugin

from kandinsky_core.denoising.generator import Generator
from kandinsky_core.denoising.noise import as_generators, picture_seeds
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.files import replace_file
from kandinsky_core.pictures.metadata import PNG_KEY, read_metadata, save_image, versions

PICTURE = Image.new("RGB", (4, 3), (1, 2, 3))


@pytest.mark.parametrize("path_type", [str, Path])
def test_metadata_round_trips(tmp_path: Path, path_type: type) -> None:
    path = tmp_path / "new" / "folder" / "Bild 1.PNG"
    prompt = 'ein Ćafé\n\0\t"😀" \u202e圆'
    metadata = {"prompt": prompt, "seed": 2**64 - 1, "scale": 4.5, "no": None}
    save_image(PICTURE, path_type(path), metadata)
    assert read_metadata(path_type(path)) == metadata
    with Image.open(path) as image:
        assert list(image.getdata()) == list(PICTURE.getdata())
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_written_file_has_ordinary_permissions(tmp_path: Path) -> None:
    mask = os.umask(0o027)
    try:
        save_image(PICTURE, tmp_path / "a.png", {})
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "a.png").stat().st_mode) == 0o640


@pytest.mark.parametrize("name", ["a.jpg", "a", "a.png.webp"])
def test_other_formats_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInputError, match=r"written as \.png"):
        save_image(PICTURE, tmp_path / name, {})
    assert not list(tmp_path.iterdir())


def test_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"old")
    with pytest.raises(TypeError):
        save_image(PICTURE, path, {"prompt": object()})

    def write_half() -> None:
        with replace_file(path) as temporary:
            temporary.write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def with_text(path: Path, key: str, text: str) -> Path:
    info = PngImagePlugin.PngInfo()
    info.add_itxt(key, text)
    PICTURE.save(path, pnginfo=info)
    return path


@pytest.mark.parametrize(
    ("key", "text", "said"),
    [
        ("parameters", "{}", "holds no Kandinsky metadata"),
        (PNG_KEY, "{", "is damaged"),
        (PNG_KEY, "[1, 2]", "is damaged"),
        (PNG_KEY, "3", "is damaged"),
    ],
)
def test_foreign_and_damaged_metadata(tmp_path: Path, key: str, text: str, said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        read_metadata(with_text(tmp_path / "a.png", key, text))


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n", b"text"])
def test_what_is_no_picture(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(InvalidInputError, match="cannot be read as a picture"):
        read_metadata(path)
    with pytest.raises(InvalidInputError, match="cannot be read as a picture"):
        read_metadata(tmp_path / "absent.png")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"seed": [3, 4]}, [{"seed": 3}, {"seed": 4}]),
        (
            {"seed": 3},
            [
                {"seed": 3, "batch_index": 0, "batch_size": 2},
                {"seed": 3, "batch_index": 1, "batch_size": 2},
            ],
        ),
        ({"generator": [Generator(5), 6]}, [{"seed": 5}, {"seed": 6}]),
    ],
)
def test_seeds_of_pictures(given: dict[str, Any], expected: list[dict[str, int]]) -> None:
    source = as_generators(given.get("generator"), given.get("seed"), 2)
    fresh = {"generator_was_fresh": True}
    assert picture_seeds(source, 2) == [row | fresh for row in expected]


def test_seed_of_a_single_picture_stands_alone() -> None:
    source = as_generators(None, 9, 1)
    assert picture_seeds(source, 1) == [{"seed": 9, "generator_was_fresh": True}]


def test_a_generator_at_work_is_told_apart() -> None:
    generator = Generator(5)
    generator.randn(3)
    assert not picture_seeds(as_generators(generator, None, 1), 1)[0]["generator_was_fresh"]
    generator.manual_seed(5)
    assert picture_seeds(as_generators(generator, None, 1), 1)[0]["generator_was_fresh"]


def test_versions_are_json_and_name_numpy() -> None:
    found = json.loads(json.dumps(versions()))
    assert {"python", "numpy", "kandinsky-anywhere"} <= set(found)
