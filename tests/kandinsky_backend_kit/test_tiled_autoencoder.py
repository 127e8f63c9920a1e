"""Pictures through MoVQ tile by tile."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from kandinsky_backend_kit.tiled_autoencoder import TiledAutoencoder
from kandinsky_core import AutoPipelineForText2Image
from kandinsky_core.arrays import FloatArray
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.seam.networks import Tiling
from tests.support.backends import BACKENDS

FACTOR = 4
FEW: dict[str, Any] = {"num_inference_steps": 2, "prior_num_inference_steps": 2, "seed": 3}


class Pointwise(TiledAutoencoder):
    """Each latent is a cell's mean, each pixel its latent; `tint` tells the tiles apart."""

    config = SimpleNamespace(block_out_channels=(1, 1, 1))

    def __init__(self, tint: float = 0.0) -> None:
        self.tint = tint
        self.shapes: list[tuple[int, ...]] = []

    def _next(self, made: FloatArray, shape: tuple[int, ...]) -> FloatArray:
        self.shapes.append(shape)
        return made + np.float32(self.tint * len(self.shapes))

    def _encode(self, pixels: FloatArray) -> FloatArray:
        batch, channels, height, width = pixels.shape
        cells = pixels.reshape(batch, channels, height // FACTOR, FACTOR, width // FACTOR, FACTOR)
        return self._next(cells.mean(axis=(3, 5)), pixels.shape)

    def _decode(self, latents: FloatArray) -> FloatArray:
        return self._next(
            latents.repeat(FACTOR, axis=2).repeat(FACTOR, axis=3)[:, :3], latents.shape
        )


def normal(*shape: int) -> FloatArray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("overlap", [0, 8, 16])
@pytest.mark.parametrize("size", [(8, 8), (9, 8), (20, 8), (5, 31), (64, 17)])
def test_tiles_put_together_are_the_whole(size: tuple[int, int], overlap: int) -> None:
    latents, whole, tiled = normal(2, 4, *size), Pointwise(), Pointwise()
    tiled.enable_tiling(32, overlap)
    pixels = whole.decode(latents)
    np.testing.assert_allclose(tiled.decode(latents), pixels, rtol=1e-5, atol=1e-6)
    assert set(tiled.shapes) == {(2, 4, min(size[0], 8), min(size[1], 8))}, "one program for all"
    decoded = len(tiled.shapes)
    np.testing.assert_allclose(tiled.encode(pixels), whole.encode(pixels), rtol=1e-5, atol=1e-6)
    assert len(tiled.shapes) == 2 * decoded


@pytest.mark.parametrize("length", range(9, 80))
def test_as_few_tiles_as_cover_a_side(length: int) -> None:
    tiling = Tiling(size=8, overlap=2, factor=8)
    starts = tiling.starts(length)
    steps = np.diff(starts)
    assert (starts[0], starts[-1]) == (0, length - 8)
    assert 1 <= steps.min() <= steps.max() <= 6, "neighbours share two cells at least"
    assert length > 6 * (len(starts) - 1) + 2, "one fewer would not do"


def test_one_tile_passes_into_the_next() -> None:
    """Tiles that differ by 1 meet in a ramp, not in an edge."""
    movq = Pointwise(tint=1.0)
    movq.enable_tiling(32, 16)
    row = movq.decode(np.zeros((1, 4, 8, 20), np.float32))[0, 0, 0]
    assert (row[0], row[-1]) == (1, len(movq.shapes)) == (1, 4)
    assert 0 <= np.diff(row).min() <= np.diff(row).max() < 0.15
    movq.disable_tiling()
    assert np.ptp(movq.decode(np.zeros((1, 4, 8, 20), np.float32))) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((30,), "tile_size=30: give a multiple of 4 pixels"),
        ((12,), "tile_size=12: give a multiple of 4 pixels, at least 16"),
        ((0,), "tile_size=0: give a whole number"),
        ((32, 6), "overlap=6: give a multiple of 4 pixels from 0 to half of tile_size, 16"),
        ((32, 20), "overlap=20"),
        ((32, -4), "overlap=-4"),
        ((32, 4.0), "overlap=4.0"),
        ((32, False), "overlap=False"),
    ],
)
def test_wrong_tiles(arguments: tuple[Any, ...], message: str) -> None:
    movq = Pointwise()
    with pytest.raises(InvalidInputError, match=message):
        movq.enable_tiling(*arguments)
    assert movq.tiling is None
    movq.enable_tiling(32)
    with pytest.raises(InvalidInputError, match=r"pixels of \(34, 40\): .* multiples of 4"):
        movq.encode(normal(1, 3, 34, 40))


@pytest.mark.parametrize("backend", BACKENDS)
def test_in_a_pipeline(backend: str) -> None:
    """Tiles are decoded as pictures of their size are, and the picture's metadata says so."""
    pipe = AutoPipelineForText2Image.from_pretrained("shapes", backend=backend)
    pipe.set_progress_bar_config(disable=True)
    prompt = "a red circle on a blue background"
    latents = pipe(prompt, output_type="latent", **FEW).images
    whole = pipe.movq.decode(latents)
    halves = (slice(8), slice(8, None))
    apart = [
        [pipe.movq.decode(latents[..., rows, columns]) for columns in halves] for rows in halves
    ]
    pipe.movq.enable_tiling(32, 0)
    tiled = pipe.movq.decode(latents)
    np.testing.assert_allclose(tiled, np.block(apart), atol=1e-6)
    assert np.abs(tiled - whole).max() > 1e-3, "a tile's norms see that tile"
    found = pipe(prompt, **FEW).metadata[0]
    assert (found["movq_tile_size"], found["movq_tile_overlap"]) == (32, 0)
    pipe.movq.disable_tiling()
    assert "movq_tile_size" not in pipe(prompt, **FEW).metadata[0]
