"""Depth hints made by any callable, and hints that a user brings as pictures of 16 bits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kandinsky_core import depth_hint, load_image
from kandinsky_core.errors import BackendUnavailableError, InvalidInputError
from kandinsky_core.pictures import hints
from kandinsky_core.pictures.inputs import as_hints, as_images, as_masks

WIDTH, HEIGHT = 6, 4
DEPTH = np.arange(WIDTH * HEIGHT, dtype=np.uint8).reshape(HEIGHT, WIDTH) * 11


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "a.png"
    Image.new("RGB", (WIDTH, HEIGHT), (10, 200, 30)).save(path)
    return path


@pytest.mark.parametrize(
    "form",
    [
        lambda depth: {"depth": Image.fromarray(depth), "predicted_depth": None},
        lambda depth: {"depth": depth},
        lambda depth: depth.astype(np.float32) / 255,
        lambda depth: Image.fromarray(depth).convert("RGB"),
        lambda depth: Image.fromarray(depth.astype(np.uint16) * 257),
    ],
)
def test_depth_becomes_three_equal_channels(picture: Path, form: Callable[[Any], Any]) -> None:
    seen: list[Image.Image] = []

    def estimator(image: Image.Image) -> Any:
        seen.append(image)
        return form(DEPTH)

    for image in (picture, str(picture), Image.open(picture)):
        hint = depth_hint(image, estimator)
        assert (hint.shape, hint.dtype) == ((1, 3, HEIGHT, WIDTH), np.float32)
        for channel in hint[0]:
            np.testing.assert_allclose(channel, DEPTH / 255, atol=1e-6)
    assert [(image.mode, image.size) for image in seen] == [("RGB", (WIDTH, HEIGHT))] * 3


def test_depth_of_another_size_is_resized(picture: Path) -> None:
    hint = depth_hint(picture, lambda _: {"depth": Image.new("L", (3, 9), 51)})
    assert hint.shape == (1, 3, HEIGHT, WIDTH)
    np.testing.assert_allclose(hint, 0.2, atol=1e-6)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (None, "the estimator's depth map is missing"),
        ({"predicted_depth": DEPTH}, "the estimator's depth map is missing"),
        ("deep", "the estimator's depth map='deep': open it"),
        ({"depth": [DEPTH, DEPTH]}, "the estimator's depth map: there are 2 for one picture"),
        ({"depth": DEPTH * 3.0}, "the estimator's depth map holds values from 0 to 759"),
    ],
)
def test_what_is_no_depth_map(picture: Path, found: Any, said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        depth_hint(picture, lambda _: found)


def test_no_picture(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"absent.png' cannot be read"):
        depth_hint(tmp_path / "absent.png", lambda _: DEPTH)


@pytest.mark.parametrize("estimator", [None, "Intel/dpt-large"])
@pytest.mark.parametrize("missing", [["torch"], ["transformers"], ["torch", "transformers"]])
def test_what_to_install(
    picture: Path, estimator: str | None, missing: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hints, "find_spec", lambda name: None if name in missing else object())
    packages = " ".join(missing)
    with pytest.raises(BackendUnavailableError, match=f"pip install {packages}; or give est"):
        depth_hint(picture, estimator)


def test_grey_pictures_of_16_bits_are_scaled_and_not_clipped(tmp_path: Path) -> None:
    """PIL's own conversion makes all white of what is above 255."""
    deep = Image.fromarray(np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16))
    deep.save(tmp_path / "deep.png")
    expected = np.arange(256).reshape(16, 16) / 255
    for image in (deep, deep.convert("I"), load_image(tmp_path / "deep.png")):
        hint = as_hints("hint", image, 16, 16)
        np.testing.assert_allclose(hint[0, 1], expected, atol=1e-6)
        np.testing.assert_allclose(
            as_images("image", image, 16, 16)[0, 2], expected * 2 - 1, atol=1e-6
        )
        mask = as_masks("mask", image, 16, 16)[0, 0]
        np.testing.assert_array_equal(mask, expected >= 0.5)
    dark = Image.fromarray(np.full((2, 2), 255, np.int32))  # 32 bits that hold 8
    assert as_hints("hint", dark, 2, 2).min() == 1
