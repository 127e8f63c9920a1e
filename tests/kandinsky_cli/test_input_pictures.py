"""Pictures that a command is given, and names that `kandinsky info` is given."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from PIL import Image

from kandinsky_cli.input_pictures import InputPicture
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.pictures.metadata import save_image
from tests.kandinsky_cli.run import Runner

PICTURE = Image.new("RGB", (4, 4), (255, 255, 255))
needs_pipes = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ftp://127.0.0.1/a.png", "'ftp://127.0.0.1/a.png' is a URL of ftp: give a path, or a URL"),
        ("folder", "'folder' cannot be read: it is no regular file, but a folder"),
        ("empty.png", "'empty.png' cannot be read: the file is empty"),
        ("absent.png", "'absent.png' cannot be read: No such file or directory"),
        ("a.eps", "'a.eps' cannot be read: it is no picture in one of the formats PNG"),
        ("/dev/zero", "'/dev/zero' cannot be read: it is no regular file, but a device"),
    ],
)
def test_what_cannot_be_a_picture(workplace: Path, name: str, said: str) -> None:
    (workplace / "folder").mkdir()
    (workplace / "empty.png").write_bytes(b"")
    (workplace / "a.eps").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n")
    with pytest.raises(InvalidInputError, match=f"^--image: image {said}"):
        InputPicture.open("--image", name)


def test_a_mask_must_show_its_shape(workplace: Path) -> None:
    mask = PICTURE.convert("RGBA")
    mask.putpixel((0, 0), (255, 255, 255, 0))
    mask.save(workplace / "mask.png")
    assert InputPicture.open("--image", "mask.png").picture.mode == "RGB"
    with pytest.raises(InvalidInputError, match=r"^--mask: the mask is all white, and its shape"):
        InputPicture.open_mask("--mask", "mask.png")
    PICTURE.save(workplace / "mask.png")
    assert InputPicture.open_mask("--mask", "mask.png").picture.mode == "RGB"


@pytest.mark.parametrize(
    "name", ["absent.png", "owner/absent.png", "ABSENT.JPG", "./a/b/absent.webp"]
)
def test_info_of_a_picture_that_is_not_there(kandinsky: Runner, name: str) -> None:
    """Such a name is not looked for on the hub."""
    code, output, error = kandinsky("info", name)
    assert (code, output) == (2, "")
    assert error == (
        f"kandinsky info: error: there is no picture {str(Path(name))!r}: "
        "give the path of a file, a model's folder, or a hub id\n"
    )


@needs_pipes
def test_info_of_what_has_no_end(kandinsky: Runner, workplace: Path) -> None:
    os.mkfifo(workplace / "pipe.png")
    for name in ("pipe.png", "/dev/zero"):
        code, output, error = kandinsky("info", name)
        assert (code, output) == (2, "")
        assert f"{name} is no regular file and no folder" in error


@needs_pipes
def test_info_reads_no_device_that_the_metadata_name(kandinsky: Runner, workplace: Path) -> None:
    os.mkfifo(workplace / "pipe")
    metadata = {
        "program": "kandinsky interpolate",
        "items": [{"path": name, "sha256": "0"} for name in ("/dev/zero", "pipe", ".")],
        "weights": [1, 1, 1],
    }
    save_image(PICTURE, workplace / "a.png", metadata)
    code, output, error = kandinsky("info", "a.png", "--json")
    assert (code, error) == (0, "")
    assert json.loads(output)["warnings"] == [
        "/dev/zero cannot be read here: it is no regular file, but a device",
        "pipe cannot be read here: it is no regular file, but a pipe",
        ". cannot be read here: it is no regular file, but a folder",
    ]


def test_a_name_that_is_no_utf8_is_told(kandinsky: Runner, workplace: Path) -> None:
    metadata = {"program": "kandinsky img2img", "prompt": "a", "image": {"path": "caf\udce9.png"}}
    save_image(PICTURE, workplace / "a.png", metadata)
    for words in ((), ("--json",)):
        code, output, error = kandinsky("info", "a.png", *words)
        assert (code, error) == (0, "")
        assert "caf\\udce9.png" in output
