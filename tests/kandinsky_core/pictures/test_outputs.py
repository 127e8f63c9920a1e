"""Pixels out, latent sizes, grids."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from kandinsky_core.errors import InvalidInputError
from kandinsky_core.pictures.outputs import latent_size, make_image_grid, to_pil, to_unit_range


@pytest.mark.parametrize(
    ("pixels", "factor", "cells"),
    [(512, 8, 64), (513, 8, 72), (575, 8, 72), (1, 8, 8), (768, 8, 96), (64, 4, 16), (65, 4, 20)],
)
def test_latent_size_rounds_up(pixels: int, factor: int, cells: int) -> None:
    assert latent_size(pixels, factor) == cells


def test_pixels_become_clipped_cropped_and_channels_last() -> None:
    pixels = np.zeros((1, 3, 2, 4), np.float32)
    pixels[0, :, 0, 0] = [-3, 0.5, 3]
    image = to_unit_range(pixels, 1, 3)
    assert image.shape == (1, 1, 3, 3)
    assert image.flags.c_contiguous
    np.testing.assert_array_equal(image[0, 0, 0], [0, 0.75, 1])
    np.testing.assert_array_equal(image[0, 0, 1], [0.5, 0.5, 0.5])


def test_bytes_are_rounded_to_the_nearest() -> None:
    levels = np.arange(256, dtype=np.float32) / 255
    image = np.broadcast_to(levels[None, None, :, None], (1, 1, 256, 3))
    (picture,) = to_pil(image)
    assert picture.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(picture)[0, :, 1], np.arange(256))
    (picture,) = to_pil(np.minimum(image + np.float32(0.49 / 255), 1))
    np.testing.assert_array_equal(np.asarray(picture)[0, :, 1], np.arange(256))


def test_grid_is_filled_row_by_row() -> None:
    images = [Image.new("RGB", (3, 2), (shade, 0, 0)) for shade in (10, 20, 30, 40, 50, 60)]
    grid = np.asarray(make_image_grid(images, rows=2, cols=3))
    assert grid.shape == (4, 9, 3)
    np.testing.assert_array_equal(grid[::2, ::3, 0], [[10, 20, 30], [40, 50, 60]])
    assert make_image_grid(images, 3, 2, resize=5).size == (10, 15)


@pytest.mark.parametrize(("rows", "cols"), [(2, 2), (0, 0), (1, 2), (-1, -3)])
def test_grid_needs_as_many_pictures_as_places(rows: int, cols: int) -> None:
    images = [Image.new("RGB", (2, 2))] * 3
    with pytest.raises(InvalidInputError, match="3 were given"):
        make_image_grid(images, rows, cols)
    with pytest.raises(InvalidInputError, match="0 were given"):
        make_image_grid([], 0, 0)
