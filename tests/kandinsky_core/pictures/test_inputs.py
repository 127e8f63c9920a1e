"""Pictures, masks and hints of every form that a user may bring."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from PIL import Image

from kandinsky_core import load_image
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.pictures.inputs import as_hints, as_images, as_masks, padded
from kandinsky_core.pictures.modes import eight_bit

BYTES = np.random.default_rng(0).integers(0, 256, (6, 10, 3), np.uint8)
WANTED = BYTES.transpose(2, 0, 1)[None] / 127.5 - 1  # [1, 3, 6, 10]
FLOATS = (BYTES / 255).astype(np.float32)


@pytest.mark.parametrize(
    "value",
    [
        Image.fromarray(BYTES),
        Image.fromarray(np.dstack([BYTES, np.full((6, 10), 7, np.uint8)]), "RGBA"),
        BYTES,
        BYTES.transpose(2, 0, 1),
        BYTES.astype(np.int64),
        np.dstack([BYTES, BYTES[..., 0]]),
        FLOATS,
        FLOATS.transpose(2, 0, 1).astype(np.float64),
        (FLOATS * 2 - 1)[None],
        [BYTES],
        (Image.fromarray(BYTES),),
        BYTES.tolist(),
    ],
    ids=[
        "PIL",
        "PIL with alpha",
        "bytes",
        "bytes, channels first",
        "integers",
        "bytes with alpha",
        "floats",
        "float64, channels first",
        "batch from -1 to 1",
        "list",
        "tuple",
        "nested lists",
    ],
)
def test_one_picture_in_many_forms(value: Any) -> None:
    if isinstance(value, list) and isinstance(value[0], list):
        value = np.array(value)
    got = as_images("image", value, 6, 10)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, WANTED, atol=1e-6)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("L", [[100, 100, 100], [200, 200, 200]]),
        ("1", [[0, 0, 0], [255, 255, 255]]),
        ("P", [[10, 20, 30], [40, 50, 60]]),
        ("CMYK", [[255, 0, 0], [0, 0, 255]]),
        ("I;16", [[1, 1, 1], [255, 255, 255]]),
    ],
)
def test_modes_of_pil(mode: str, expected: list[list[int]]) -> None:
    if mode == "P":
        picture = Image.new("P", (2, 1))
        picture.putpalette([10, 20, 30, 40, 50, 60])
        picture.putdata([0, 1])
    elif mode == "CMYK":
        picture = Image.new("CMYK", (2, 1))
        picture.putdata([(0, 255, 255, 0), (255, 255, 0, 0)])
    elif mode == "I;16":
        picture = Image.fromarray(np.array([[257, 65535]], np.uint16))
    else:
        picture = Image.new(mode, (2, 1))
        picture.putdata([0, 255] if mode == "1" else [100, 200])
    got = (as_images("image", picture, 1, 2) + 1) * 127.5  # [1, 3, 1, 2]
    np.testing.assert_allclose(got[0, :, 0].T, expected, atol=1e-4)


def test_grey_arrays_get_three_channels() -> None:
    for value in (BYTES[..., 0], BYTES[..., :1], BYTES[None, ..., 0], FLOATS[..., 0]):
        got = as_images("image", value, 6, 10)
        np.testing.assert_allclose(got, np.repeat(WANTED[:, :1], 3, axis=1), atol=1e-6)
    got = as_images("image", BYTES[..., 0] > 127, 6, 10)
    np.testing.assert_array_equal(got[0, 0], np.where(BYTES[..., 0] > 127, 1, -1))


def test_lists_and_batches_are_one_picture_a_row() -> None:
    other = 255 - BYTES
    for value in (
        np.stack([BYTES, other]),
        [BYTES, Image.fromarray(other)],
        [BYTES[None], other],
        np.stack([BYTES, other]).transpose(0, 3, 1, 2),
    ):
        got = as_images("image", value, 6, 10)
        np.testing.assert_allclose(got, np.concatenate([WANTED, -WANTED]), atol=1e-6)


def test_negative_floats_anywhere_say_what_the_range_is() -> None:
    """A picture of a batch in [-1, 1] may be so bright that it has no negative value itself."""
    dark, bright = np.full((2, 4, 4, 3), -0.5, np.float32), np.full((4, 4, 3), 0.5, np.float32)
    dark[1] = bright
    for value in (dark, list(dark)):
        got = as_images("image", value, 4, 4)
        np.testing.assert_array_equal(got[1], 0.5)
    np.testing.assert_array_equal(as_images("image", bright, 4, 4), 0)


@pytest.mark.parametrize("size", [(12, 20), (3, 5), (7, 4)])
def test_pictures_are_resized_as_by_pil(size: tuple[int, int]) -> None:
    height, width = size
    picture = Image.fromarray(BYTES)
    expected = np.asarray(
        picture.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=1), np.float32
    )
    for value in (picture, BYTES):
        got = as_images("image", value, height, width)
        np.testing.assert_allclose(got[0].transpose(1, 2, 0), expected / 127.5 - 1, atol=1e-6)
    plain = np.asarray(picture.resize((width, height), Image.Resampling.BICUBIC)) / 255
    got = (as_images("image", FLOATS, height, width)[0].transpose(1, 2, 0) + 1) / 2
    # PIL rounds bytes, and cuts what overshoots, after each direction
    assert np.abs(got - plain).mean() < 1.5 / 255
    assert FLOATS.min() - 1e-6 <= got.min() <= got.max() <= FLOATS.max() + 1e-6


def test_hints_lie_between_0_and_1() -> None:
    got = as_hints("hint", FLOATS[..., 0], 6, 10)
    np.testing.assert_allclose(got, np.repeat(FLOATS[None, None, ..., 0], 3, axis=1), atol=1e-6)
    np.testing.assert_array_equal(as_hints("hint", Image.new("L", (3, 3), 255), 4, 4), 1)
    assert as_hints("hint", BYTES, 48, 80).min() >= 0


RIGHT = np.zeros((6, 10), np.float32)
RIGHT[:, 5:] = 1


@pytest.mark.parametrize(
    "value",
    [
        RIGHT,
        RIGHT * 0.5,
        RIGHT.astype(bool),
        RIGHT.astype(np.uint8),
        RIGHT.astype(np.uint8) * 255,
        RIGHT.astype(np.int64) * 128,
        RIGHT[None],
        RIGHT[..., None],
        RIGHT[None, None],
        [RIGHT],
        Image.fromarray((RIGHT * 255).astype(np.uint8)),
        Image.fromarray((RIGHT * 255).astype(np.uint8)).convert("1"),
        Image.fromarray((RIGHT * 255).astype(np.uint8)).convert("RGB"),
        Image.fromarray((RIGHT * 65535).astype(np.uint16)),
    ],
    ids=lambda value: getattr(value, "mode", None) or str(getattr(value, "dtype", "list")),
)
def test_one_mask_in_many_forms(value: Any) -> None:
    got = as_masks("mask_image", value, 6, 10)
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, RIGHT[None, None])


def test_masks_are_white_from_one_half_on() -> None:
    values = np.float32([[0.0, 0.4999, 0.5, 1.0]])
    np.testing.assert_array_equal(as_masks("mask_image", values, 1, 4)[0, 0], [[0, 0, 1, 1]])
    grey = Image.fromarray(np.uint8([[127, 128]]))
    np.testing.assert_array_equal(as_masks("mask_image", grey, 1, 2)[0, 0], [[0, 1]])


def test_masks_come_as_lists_and_batches() -> None:
    both = np.stack([RIGHT, 1 - RIGHT])
    for value in (both, both[:, None], both[..., None], [RIGHT, 1 - RIGHT], both.astype(bool)):
        got = as_masks("mask_image", value, 6, 10)
        np.testing.assert_array_equal(got, both[:, None])


@pytest.mark.parametrize("size", [(12, 20), (3, 8), (24, 10)])
def test_masks_of_other_sizes_stay_masks(size: tuple[int, int]) -> None:
    expected = np.zeros(size)
    expected[:, size[1] // 2 :] = 1
    for value in (RIGHT, RIGHT > 0, Image.fromarray(np.uint8(RIGHT * 255))):
        np.testing.assert_array_equal(as_masks("mask_image", value, *size)[0, 0], expected)


def test_negative_floats_are_seen_beside_an_alpha_that_is_no_number() -> None:
    picture = np.full((4, 4, 4), -0.5, np.float32)
    picture[..., 3] = np.nan
    np.testing.assert_array_equal(as_images("image", picture, 4, 4), -0.5)


def test_a_mask_of_colours_counts_by_its_luminance() -> None:
    """An array that PIL gave for a colour picture of a mask is no batch of narrow masks."""
    colours = np.repeat(np.uint8(RIGHT * 255)[..., None], 3, axis=-1)
    np.testing.assert_array_equal(as_masks("mask_image", colours, 6, 10), RIGHT[None, None])


class Raising:
    """Says that it is an array."""

    def __array__(self, *_: object) -> Any:
        raise RuntimeError("not today")


RAISING = Raising()
HOLDS_ITSELF: list[Any] = [BYTES]
HOLDS_ITSELF.append(HOLDS_ITSELF)


@pytest.mark.parametrize(
    ("read", "value", "message"),
    [
        (as_images, None, "image is missing"),
        (as_images, [], "image is an empty list"),
        (as_images, np.broadcast_to(BYTES[:1, :1], (60_000, 60_000, 3)), "at most 178,956,970 pix"),
        (as_images, "cat.png", r"image='cat.png': open it with load_image first"),
        (as_images, Path("cat.png"), "open it with load_image first"),
        (as_images, {"a": 1}, "image is a dict"),
        (as_images, np.array(["a"]), "image is a ndarray"),
        (as_images, np.zeros((5, 6, 2)), r"has shape \(5, 6, 2\): one axis must hold the channels"),
        (as_images, np.zeros(4), r"has shape \(4,\)"),
        (as_images, np.zeros((0, 4, 3)), r"has shape \(0, 4, 3\)"),
        (as_images, np.zeros((0, 4, 4, 3)), r"has shape \(0, 4, 4, 3\)"),
        (as_images, [np.zeros((0, 3, 4, 4))], r"has shape \(0, 3, 4, 4\)"),
        (as_images, np.array([[None, 1]]), "image is a ndarray of dtype object: give a PIL"),
        (as_images, np.zeros((4, 4, 3), np.complex64), "image is a ndarray of dtype complex64"),
        (as_images, [10**30], "image is a int: give a PIL picture"),
        (as_images, np.full((4, 4), 2**64 - 1, np.uint64), "holds values from 1.84467e"),
        (as_images, np.full((4, 4), 1e300), "holds values from inf to inf"),
        (as_images, RAISING, "image is a Raising, no array: not today"),
        (as_images, HOLDS_ITSELF, "holds lists in lists, more than 8 levels of them"),
        (as_masks, HOLDS_ITSELF, "holds lists in lists, more than 8 levels of them"),
        (as_masks, np.zeros((4, 4), complex), "image is a ndarray of dtype complex128"),
        (as_images, np.zeros((1, 1, 4, 4, 3)), r"has shape \(1, 1, 4, 4, 3\)"),
        (as_images, np.full((4, 4, 3), 200.0), "holds values from 200 to 200: give floats from -1"),
        (as_images, np.full((4, 4, 3), np.nan), "holds values from nan to nan"),
        (as_images, np.full((4, 4, 3), -np.inf), "holds values from -inf"),
        (as_images, np.full((4, 4, 3), 256), "holds values from 256 to 256"),
        (as_images, np.full((4, 4, 3), -1), "holds values from -1"),
        (as_masks, None, "image is missing"),
        (as_masks, np.full((4, 4), 1.5), "holds values from 1.5 to 1.5: give floats from 0 to 1"),
        (as_masks, np.full((4, 4), -0.1), "holds values from -0.1"),
        (as_masks, np.full((4, 4), np.nan), "nan"),
        (as_masks, np.full((4, 4), 300), "300"),
        (as_masks, np.zeros(3), r"has shape \(3,\)"),
        (as_hints, None, "image is missing"),
    ],
)
def test_what_is_no_picture_is_refused(read: Callable[..., Any], value: Any, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        read("image", value, 4, 4)


def test_inputs_stay_as_they_were() -> None:
    floats, mask, integers = FLOATS.copy(), (RIGHT * 0.7), np.uint8(RIGHT)
    as_images("image", floats, 6, 10)
    as_masks("mask_image", mask, 6, 10)
    as_masks("mask_image", integers, 6, 10)
    np.testing.assert_array_equal(floats, FLOATS)
    np.testing.assert_array_equal(mask, RIGHT * 0.7)
    np.testing.assert_array_equal(integers, RIGHT)


def test_padding_repeats_the_edge() -> None:
    got = padded(np.arange(6, dtype=np.float32).reshape(1, 1, 2, 3), 3, 5)
    np.testing.assert_array_equal(got[0, 0], [[0, 1, 2, 2, 2], [3, 4, 5, 5, 5], [3, 4, 5, 5, 5]])


def test_sixteen_bits_become_eight() -> None:
    deep = Image.fromarray(np.array([[0, 256, 32896, 65535]], np.uint16))
    np.testing.assert_array_equal(np.asarray(eight_bit(deep)), [[0, 0, 128, 255]])
    np.testing.assert_array_equal(np.asarray(eight_bit(deep.convert("I"))), [[0, 0, 128, 255]])
    shallow = Image.fromarray(BYTES)
    assert eight_bit(shallow) is shallow


# load_image


def png(picture: Image.Image, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", **options)
    return buffer.getvalue()


class _Pictures(BaseHTTPRequestHandler):
    """Serves a picture, a text, an answer that breaks off, or nothing."""

    content: ClassVar[dict[str, bytes]] = {"/a.png": png(Image.fromarray(BYTES)), "/text": b"hello"}
    agents: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.agents.append(self.headers["User-Agent"])
        short = self.path == "/short"
        body = self.content.get("/a.png" if short else self.path)
        self.send_response(404 if body is None else 200)
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write((body or b"")[: 20 if short else None])

    def log_message(self, *_: Any) -> None:
        """Stay silent."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    running = ThreadingHTTPServer(("127.0.0.1", 0), _Pictures)
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{running.server_port}"
    running.shutdown()
    running.server_close()
    thread.join()


def test_load_from_path_url_and_pil(tmp_path: Path, server: str) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png(Image.fromarray(BYTES)))
    for source in (path, str(path), f"{server}/a.png", Image.fromarray(BYTES)):
        got = load_image(source)
        assert got.mode == "RGB"
        np.testing.assert_array_equal(np.asarray(got), BYTES)
    assert set(_Pictures.agents) == {"kandinsky-anywhere"}


def test_load_turns_pictures_as_exif_says(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees clockwise for showing
    path = tmp_path / "turned.png"
    path.write_bytes(png(Image.fromarray(BYTES), exif=exif))
    np.testing.assert_array_equal(np.asarray(load_image(path)), np.rot90(BYTES, -1))


def test_load_converts_as_asked(tmp_path: Path) -> None:
    path = tmp_path / "grey.gif"
    frames = [Image.new("L", (4, 3), shade) for shade in (10, 20)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    assert load_image(path).getpixel((0, 0)) == (10, 10, 10)
    assert load_image(path, lambda image: image.convert("L")).mode == "L"
    deep = tmp_path / "depth.png"
    Image.fromarray(np.full((2, 2), 32896, np.uint16)).save(deep)
    assert load_image(deep).getpixel((0, 0)) == (128, 128, 128)


@pytest.mark.parametrize("source", ["/gone.png", "/text", "/short"])
def test_urls_without_a_picture_are_refused(server: str, source: str) -> None:
    with pytest.raises(InvalidInputError, match=f"image '{server}{source}' cannot be read"):
        load_image(server + source)


@pytest.mark.parametrize("source", ["http://127.0.0.1:1/a.png", "http://[", "http://a b/"])
def test_bad_urls_are_refused(source: str) -> None:
    with pytest.raises(InvalidInputError, match="cannot be read"):
        load_image(source)


def test_files_that_are_no_picture_are_refused(tmp_path: Path) -> None:
    files = {
        "text": b"no picture",
        "empty": b"",
        "cut": png(Image.fromarray(BYTES))[:60],
    }
    header = bytearray(png(Image.fromarray(BYTES)))
    header[29] ^= 0xFF  # in the checksum of the header
    files["damaged"] = bytes(header)
    for name, content in files.items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(InvalidInputError, match="cannot be read"):
            load_image(path)
    for missing in (tmp_path / "missing.png", tmp_path, "no\0name"):
        with pytest.raises(InvalidInputError, match="cannot be read"):
            load_image(missing)
    with pytest.raises(InvalidInputError, match="image is a ndarray: give a path, a URL or a PIL"):
        load_image(BYTES)  # type: ignore[arg-type]
