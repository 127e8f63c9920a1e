"""CLIP's pixels against transformers' image processor: every bit."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from kandinsky_core.pictures.clip_images import clip_pixels
from kandinsky_core.pictures.inputs import as_images, as_masks

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P"])
@pytest.mark.parametrize(
    "size", [(64, 64), (640, 480), (31, 200), (200, 31), (225, 223), (5, 9), (513, 1025)]
)
@pytest.mark.parametrize(("edge", "crop"), [(224, 224), (42, 42), (30, 41)])
def test_equals_transformers(mode: str, size: tuple[int, int], edge: int, crop: int) -> None:
    width, height = size
    rng = np.random.default_rng(width)
    pixels = rng.integers(0, 256, (height, width, 4), np.uint8)
    image = Image.fromarray(pixels).convert(mode)
    processor = transformers.CLIPImageProcessor(size={"shortest_edge": edge}, crop_size=crop)
    expected = processor(image, return_tensors="np").pixel_values
    got = clip_pixels("image", image, processor.to_dict())
    np.testing.assert_array_equal(got, expected)


def test_tensors_of_pytorch_are_arrays() -> None:
    floats = torch.rand((3, 20, 30), generator=torch.Generator().manual_seed(0))
    config = {"size": 8, "crop_size": 8}
    for tensor in (floats, floats.double(), floats.clone().requires_grad_()):
        np.testing.assert_array_equal(
            clip_pixels("image", tensor, config), clip_pixels("image", floats.numpy(), config)
        )
        np.testing.assert_array_equal(
            as_images("image", tensor, 20, 30), as_images("image", floats.numpy(), 20, 30)
        )
    half = floats.bfloat16()
    np.testing.assert_array_equal(
        as_images("image", half, 20, 30), as_images("image", half.float().numpy(), 20, 30)
    )
    assert clip_pixels("image", half, config).shape == (1, 3, 8, 8)
    mask = floats[0] > 0.5
    np.testing.assert_array_equal(as_masks("mask", mask, 20, 30)[0, 0], mask.numpy())
    both = (floats[None] * 255).byte()
    np.testing.assert_array_equal(
        as_images("image", [both, both], 20, 30)[1], as_images("image", both.numpy(), 20, 30)[0]
    )
