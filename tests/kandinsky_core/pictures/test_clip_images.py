"""From pictures to CLIP's pixels, by hand; `tests/parity` compares with transformers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from kandinsky_core.errors import ConfigError, InvalidInputError
from kandinsky_core.pictures.clip_images import clip_pixels

PLAIN = {"size": 4, "crop_size": 4, "image_mean": [0.5, 0.25, 0], "image_std": [0.5, 0.25, 1]}


def test_middle_of_the_shorter_side_normalised() -> None:
    pixels = np.zeros((4, 8, 3), np.uint8)
    pixels[:, 2:6] = 255
    pixels[:, 6:] = 99
    got = clip_pixels("image", Image.fromarray(pixels), PLAIN)
    assert got.shape == (1, 3, 4, 4)
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got[0], np.broadcast_to([[[1]], [[3]], [[1]]], (3, 4, 4)))


@pytest.mark.parametrize("config", [{}, {"size": {"shortest_edge": 224}}, {"size": 224}])
def test_defaults_are_clips(config: dict[str, Any]) -> None:
    got = clip_pixels("image", Image.new("L", (30, 20), 0), config)
    assert got.shape == (1, 3, 224, 224)
    mean, deviation = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
    np.testing.assert_allclose(got[0, :, 5, 5], -np.array(mean) / deviation, rtol=1e-6)


def test_arrays_are_pictures_too() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    expected = clip_pixels("image", Image.fromarray(pixels), PLAIN)
    for value in (pixels, pixels.transpose(2, 0, 1), np.float32(pixels / 255)):
        np.testing.assert_array_equal(clip_pixels("image", value, PLAIN), expected)
    grey = clip_pixels("image", Image.fromarray(pixels[..., 0]), PLAIN)
    for value in (pixels[..., 0], pixels[..., :1], pixels[None, ..., 0]):
        np.testing.assert_array_equal(clip_pixels("image", value, PLAIN), grey)


def test_sixteen_bits_are_not_cut_off() -> None:
    deep = Image.fromarray(np.full((5, 5), 32896, np.uint16))
    expected = clip_pixels("image", Image.new("L", (5, 5), 128), PLAIN)
    np.testing.assert_array_equal(clip_pixels("image", deep, PLAIN), expected)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"do_normalize": False}, "do_normalize differs"),
        ({"do_resize": False, "do_rescale": False}, "do_resize, do_rescale differs"),
        ({"resample": 2}, "resample differs"),
        ({"size": {"height": 4}}, "size"),
        ({"size": 0}, "size 0"),
        ({"crop_size": "4"}, "size '4'"),
    ],
)
def test_other_configs_are_refused(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=f"preprocessor_config.json: {message}"):
        clip_pixels("image", Image.new("L", (5, 5)), PLAIN | config)


@pytest.mark.parametrize("value", [None, 3, np.zeros(3), np.zeros((2, 3, 4, 4)), {}])
def test_what_is_no_picture_is_refused(value: Any) -> None:
    with pytest.raises(InvalidInputError, match="image"):
        clip_pixels("image", value, PLAIN)


def test_a_picture_that_is_far_too_long_is_refused() -> None:
    """Its shorter side becomes 224 pixels, which takes gigabytes for the other one."""
    for size in ((1, 60_000), (60_000, 1)):
        with pytest.raises(InvalidInputError, match="once its shorter side has 224: cut it"):
            clip_pixels("image", Image.new("L", size), {})
