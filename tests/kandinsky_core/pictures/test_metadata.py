"""What lies in a picture's file, and how it is written."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from kandinsky_core import budgets
from kandinsky_core.denoising.generator import Generator
from kandinsky_core.denoising.noise import as_generators, picture_seeds
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.files import replace_file
from kandinsky_core.pictures.exif_comment import exif_with_comment
from kandinsky_core.pictures.metadata import (
    PNG_KEY,
    file_problems,
    file_record,
    is_file_record,
    read_metadata,
    save_image,
    versions,
)

PICTURE = Image.new("RGB", (4, 3), (1, 2, 3))


@pytest.mark.parametrize(
    ("path_type", "suffix"),
    [(str, "PNG"), (Path, "png"), (Path, "jpg"), (str, "Jpeg"), (str, "webp")],
)
def test_metadata_round_trips(tmp_path: Path, path_type: type, suffix: str) -> None:
    path = tmp_path / "new" / "folder" / f"Bild 1.{suffix}"
    prompt = 'ein Ćafé\n\0\t"😀" \u202e圆'
    metadata = {"prompt": prompt, "seed": 2**64 - 1, "scale": 4.5, "no": None}
    save_image(PICTURE, path_type(path), metadata)
    assert read_metadata(path_type(path)) == metadata
    with Image.open(path) as image:
        assert image.format == {"j": "JPEG", "w": "WEBP"}.get(suffix[0].lower(), "PNG")
        difference = np.abs(np.asarray(image).astype(int) - np.asarray(PICTURE))
        assert difference.max() <= (0 if image.format == "PNG" else 2)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_written_file_has_ordinary_permissions(tmp_path: Path) -> None:
    mask = os.umask(0o027)
    try:
        save_image(PICTURE, tmp_path / "a.png", {})
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "a.png").stat().st_mode) == 0o640


@pytest.mark.parametrize("name", ["a.gif", "a", "a.png.tiff", ".jpg"])
def test_other_formats_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInputError, match=r"written as \.png"):
        save_image(PICTURE, tmp_path / name, {})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "size", "mode", "settings", "said"),
    [
        (
            "a.png",
            (2, 2),
            "RGB",
            {"quality": 90},
            "quality=90: PNG loses nothing and has no quality",
        ),
        ("a.jpg", (2, 2), "RGB", {"quality": 0}, "quality=0: give a whole number from 1 to 100"),
        ("a.webp", (2, 2), "RGB", {"quality": 101}, "quality=101: give a whole number from 1"),
        ("a.webp", (2, 2), "RGB", {"quality": True}, "quality=True: give a whole number"),
        ("a.jpg", (65_501, 1), "L", {}, "JPEG holds at most 65,500 pixels a side"),
        ("a.webp", (1, 16_384), "RGB", {}, "WEBP holds at most 16,383 pixels a side"),
        ("a.jpg", (2, 2), "RGBA", {}, "JPEG holds no picture of mode RGBA"),
    ],
)
def test_what_a_format_cannot_hold(
    tmp_path: Path, name: str, size: tuple[int, int], mode: str, settings: Any, said: str
) -> None:
    with pytest.raises(InvalidInputError, match=said):
        save_image(Image.new(mode, size), tmp_path / name, {}, **settings)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.jpg", "a.webp"])
def test_less_quality_takes_fewer_bytes(tmp_path: Path, name: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    sizes = []
    for quality in (10, None, 100):
        save_image(Image.fromarray(noise), tmp_path / name, {"a": 1}, quality=quality)
        assert read_metadata(tmp_path / name) == {"a": 1}
        sizes.append((tmp_path / name).stat().st_size)
    assert sizes == sorted(set(sizes))


def test_jpeg_holds_metadata_up_to_a_segment(tmp_path: Path) -> None:
    longest = {"a": "b" * (65_000 - len('{"a": ""}'))}
    save_image(PICTURE, tmp_path / "a.jpg", longest)
    assert read_metadata(tmp_path / "a.jpg") == longest
    with pytest.raises(InvalidInputError, match=r"65,001 characters .* write it as \.png"):
        save_image(PICTURE, tmp_path / "b.jpg", {"a": longest["a"] + "b"})
    save_image(PICTURE, tmp_path / "b.webp", {"a": longest["a"] + "b"})
    assert len(read_metadata(tmp_path / "b.webp")["a"]) == 64_992


@pytest.mark.parametrize("suffix", ["jpg", "webp"])
@pytest.mark.parametrize(
    ("comment", "said"),
    [
        ("taken at the sea", "holds no Kandinsky metadata"),
        ("kandinsky: {", "is damaged"),
        ("kandinsky: [1]", "is damaged"),
        ("kandinsky: " + "[" * 20_000, "is damaged"),
        ("kandinsky: " + '{"a": ' * 33 + "1" + "}" * 33, "is damaged .*more than 32 levels"),
    ],
)
def test_foreign_and_damaged_comments(tmp_path: Path, suffix: str, comment: str, said: str) -> None:
    path = tmp_path / f"a.{suffix}"
    PICTURE.save(path, exif=exif_with_comment(comment))
    with pytest.raises(InvalidInputError, match=said):
        read_metadata(path)


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
        (PNG_KEY, "[" * 100_000, "is damaged"),
        (PNG_KEY, '{"a": ' * 33 + "1" + "}" * 33, "is damaged .*more than 32 levels"),
        (PNG_KEY, '{"a": ' + "9" * 5000 + "}", "is damaged"),
        (PNG_KEY, f'{{"a": "{"b" * 2**20}"}}', "is damaged .*1,048,585 characters, more than"),
    ],
)
def test_foreign_and_damaged_metadata(tmp_path: Path, key: str, text: str, said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        read_metadata(with_text(tmp_path / "a.png", key, text))


def test_what_cannot_be_read_back_is_not_written(tmp_path: Path) -> None:
    deep: dict[str, Any] = {}
    for _ in range(32):
        deep = {"a": deep}
    ring: list[Any] = []
    ring.append(ring)
    for metadata in (deep, {"a": ring}, {"a": "b" * 2**20}):
        with pytest.raises(InvalidInputError, match="metadata cannot be written"):
            save_image(PICTURE, tmp_path / "a.png", metadata)
    assert not list(tmp_path.iterdir())
    save_image(PICTURE, tmp_path / "a.png", deep["a"])
    assert read_metadata(tmp_path / "a.png") == deep["a"]


def test_names_of_files_that_are_no_utf8_are_kept(tmp_path: Path) -> None:
    metadata = {"image": {"path": "caf\udce9.png"}}
    save_image(PICTURE, tmp_path / "a.png", metadata)
    assert read_metadata(tmp_path / "a.png") == metadata


def test_files_are_compared_up_to_a_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    record = file_record(str(path))
    monkeypatch.setattr(budgets, "COMPARED_BYTES", 7)
    said = f"{path} cannot be read here: it has 3 bytes, more than the 1 that are read"
    assert file_problems([record] * 3) == [said]
    assert file_problems([{**record, "sha256": "0"}]) == [
        f"{path} has changed since the picture was made"
    ]
    with_null = {**record, "path": "a\0"}
    assert file_problems([with_null]) == ["a\0 cannot be read here: no file can have such a name"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_files_without_an_end_are_not_compared(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, kind in ((str(tmp_path / "pipe"), "a pipe"), ("/dev/zero", "a device")):
        said = f"{path} cannot be read here: it is no regular file, but {kind}"
        assert file_problems([{"path": path, "sha256": "0"}]) == [said]


@pytest.mark.parametrize(
    "value", [None, 3, "a", [], {}, {"path": 3}, {"sha256": "a"}, {"path": "a", "sha256": None}]
)
def test_what_is_no_record_of_a_file(value: Any) -> None:
    assert not is_file_record(value)


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
