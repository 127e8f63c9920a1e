"""Planes of numbers are resized as by the function that scikit-image is made of."""

from __future__ import annotations

import numpy as np
import pytest

from kandinsky_core.pictures.interpolation import linear, nearest

ndimage = pytest.importorskip("scipy.ndimage")


@pytest.mark.parametrize(
    ("own", "size"),
    [((100, 70), (64, 64)), ((130, 200), (128, 192)), ((65, 127), (64, 64)), ((9, 300), (9, 64))],
)
def test_as_scikit_image(own: tuple[int, int], size: tuple[int, int]) -> None:
    plane = np.random.default_rng(0).random(own)
    zoom = [1 / (before / after) for before, after in zip(own, size, strict=True)]
    expected = ndimage.zoom(plane, zoom, order=1, mode="mirror", grid_mode=True)
    np.testing.assert_allclose(linear(plane, *size), expected, atol=1e-7)
    hard = plane > 0.5
    expected = ndimage.zoom(hard, zoom, order=0, mode="mirror", grid_mode=True)
    np.testing.assert_array_equal(nearest(hard, *size), expected)


def test_a_smaller_plane_is_stretched_with_its_ends_repeated() -> None:
    plane = np.array([[0.0, 1.0]])
    np.testing.assert_allclose(linear(plane, 1, 4), [[0, 0.25, 0.75, 1]])
    np.testing.assert_array_equal(nearest(plane, 2, 4), [[0, 0, 1, 1]] * 2)


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("size", [(48, 56), (7, 31), (1, 1)])
def test_as_pytorch(size: tuple[int, int], align_corners: bool) -> None:
    torch = pytest.importorskip("torch")
    planes = np.random.default_rng(1).random((1, 3, 13, 11), np.float32)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(planes), size, mode="bilinear", align_corners=align_corners
    )
    found = linear(planes, *size, align_corners=align_corners)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-6)
