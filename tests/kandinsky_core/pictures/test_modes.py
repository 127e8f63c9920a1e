"""PIL pictures of every mode, and masks whose shape nobody sees."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from kandinsky_core import load_image
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.pictures.inputs import as_hints, as_images, as_masks, has_white
from kandinsky_core.pictures.modes import eight_bit, to_grey, to_rgb
from kandinsky_core.pictures.opening import load_mask

COLOURS = Image.new("RGB", (3, 2), (200, 100, 50))
CLEAR = Image.new("RGBA", (3, 2), (200, 100, 50, 0))


def palette(transparency: int | bytes) -> Image.Image:
    picture = Image.new("P", (3, 2))
    picture.putpalette([200, 100, 50, 0, 0, 0])
    picture.info["transparency"] = transparency
    return picture


@pytest.mark.parametrize(
    "picture",
    [
        COLOURS,
        CLEAR,
        COLOURS.convert("RGBa"),
        COLOURS.convert("RGBX"),
        COLOURS.convert("HSV"),
        COLOURS.convert("YCbCr"),
        COLOURS.convert("CMYK"),
        palette(0),
        palette(b"\0\x80"),
        palette(0).convert("PA"),
    ],
    ids=lambda picture: picture.mode,
)
def test_every_mode_of_colours_becomes_rgb(picture: Image.Image) -> None:
    found = to_rgb(picture)
    assert found.mode == "RGB"
    np.testing.assert_allclose(np.asarray(found), np.asarray(COLOURS), atol=2)
    grey = to_grey(picture)
    np.testing.assert_allclose(np.asarray(grey), np.asarray(COLOURS.convert("L")), atol=2)
    pixels = (as_images("image", picture, 2, 3)[0] + 1) * 127.5
    np.testing.assert_allclose(pixels[:, 0, 0], [200, 100, 50], atol=2)


@pytest.mark.parametrize("alpha", ["La", "LA"])
def test_grey_with_alpha(alpha: str) -> None:
    picture = Image.new("LA", (3, 2), (120, 255)).convert(alpha)
    assert to_rgb(picture).getpixel((0, 0)) == (120, 120, 120)
    np.testing.assert_array_equal(np.asarray(to_grey(picture)), 120)


def test_a_mode_that_nothing_converts_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = Image.new("L", (2, 2))
    monkeypatch.setattr(type(picture), "mode", "BGR;24", raising=False)
    with pytest.raises(InvalidInputError, match=r"mode BGR;24: convert it to RGB or L first"):
        eight_bit(picture)


def floats(*values: float) -> Image.Image:
    return Image.fromarray(np.float32([values]))


def test_floats_in_a_picture_mean_what_they_mean_in_an_array() -> None:
    unit = floats(0, 0.25, 1)
    array = np.asarray(unit)
    for read in (as_images, as_hints, as_masks):
        np.testing.assert_array_equal(read("x", unit, 1, 3), read("x", array, 1, 3))
    signed = floats(-1, 0, 0.5)
    np.testing.assert_array_equal(as_images("x", signed, 1, 3)[0, 0], [[-1, 0, 0.5]])
    np.testing.assert_array_equal(np.asarray(load_image(unit))[0, :, 0], [0, 64, 255])
    assert has_white(unit)
    wide = floats(0, 100, 255)
    np.testing.assert_array_equal(np.asarray(load_image(wide))[0, :, 0], [0, 100, 255])
    np.testing.assert_allclose((as_images("x", wide, 1, 3)[0, 0] + 1) * 127.5, [[0, 100, 255]])


@pytest.mark.parametrize(
    "picture",
    [
        floats(0, 256),
        floats(-1, 200),
        floats(0, float("nan")),
        floats(0, float("inf")),
        Image.fromarray(np.int32([[-1, 3]])),
        Image.fromarray(np.int32([[0, 70_000]])),
    ],
)
def test_numbers_beyond_a_mode_are_refused(picture: Image.Image) -> None:
    for read in (load_image, has_white, lambda image: as_images("image", image, 2, 2)):
        with pytest.raises(InvalidInputError, match=r"mode [FI] with values from .*: give values"):
            read(picture)


@pytest.mark.parametrize("size", [(0, 3), (3, 0)])
def test_a_picture_without_pixels_is_refused(size: tuple[int, int]) -> None:
    for mode in ("RGB", "F"):
        with pytest.raises(InvalidInputError, match="0"):
            as_images("image", Image.new(mode, size), 4, 4)


# Masks

SHAPE = np.zeros((4, 4), np.uint8)
SHAPE[:, 2:] = 255


def hidden(shade: int) -> list[Any]:
    """Masks of one shade whose shape lies in their transparency."""
    grey = np.full((4, 4), shade, np.uint8)
    with_alpha = Image.fromarray(np.dstack([grey, grey, grey, SHAPE]), "RGBA")
    indices = Image.fromarray(SHAPE // 255, "P")
    indices.putpalette([shade] * 6)
    indices.info["transparency"] = 0
    return [
        with_alpha,
        Image.fromarray(np.dstack([grey, SHAPE]), "LA"),
        indices,
        np.asarray(with_alpha),
        np.asarray(with_alpha) / 255,
        [with_alpha],
    ]


@pytest.mark.parametrize("shade", [0, 255])
def test_a_mask_whose_shape_is_its_transparency_is_refused(shade: int) -> None:
    said = f"is all {'white' if shade else 'black'}, and its shape lies in its transparency"
    for mask in hidden(shade):
        with pytest.raises(InvalidInputError, match=f"mask_image {said}"):
            as_masks("mask_image", mask, 4, 4)
        if isinstance(mask, Image.Image):
            for read in (has_white, load_mask):
                with pytest.raises(InvalidInputError, match=f"the mask {said}"):
                    read(mask)


def test_what_the_error_of_a_hidden_shape_advises_works() -> None:
    for mask in hidden(0)[:3]:
        seen = mask.convert("RGBA").getchannel("A")
        np.testing.assert_array_equal(as_masks("mask", seen, 4, 4)[0, 0], SHAPE / 255)


def test_a_mask_that_shows_its_shape_may_be_transparent() -> None:
    clear = Image.fromarray(np.dstack([SHAPE, SHAPE, SHAPE, SHAPE]), "RGBA")
    solid = Image.fromarray(np.dstack([SHAPE, np.full_like(SHAPE, 255)]), "LA")
    grey = Image.fromarray(SHAPE)
    grey.info["transparency"] = 255
    for mask in (clear, solid, grey, np.asarray(clear)):
        np.testing.assert_array_equal(as_masks("mask", mask, 4, 4)[0, 0], SHAPE / 255)
    for picture in (clear, solid, grey):
        assert has_white(picture)
        assert load_mask(picture).mode == "RGB"
    assert not has_white(Image.new("RGBA", (4, 4), (0, 0, 0, 9)))
