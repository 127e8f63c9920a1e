"""Refines an enlarged picture with Kandinsky 3.1 Flash: one step over tiles of its latents.

Source: ai-forever/KandiSuperRes, `refine_tiled` and the tiled MoVQ. Tiles lie on a grid from the
upper left corner, so that the last ones may be short.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kandinsky_core.arrays import Array, FloatArray
from kandinsky_core.denoising.loop import denoise, require_finite
from kandinsky_core.pictures.blending import blended, cut_tiles
from kandinsky_core.pipelines.kandinsky3.texts import conditioning_of, fitted
from kandinsky_core.seam.networks import Autoencoder

__all__ = ["Tiles", "empty_text", "refined"]

_FIRST_STEP = 3  # of the four of Flash: timestep 229
_STEPS = 4
_TOKENS = 128  # the UNet takes a mean over all of them


@dataclass(frozen=True, slots=True)
class Tiles:
    """Sides of the tiles.

    Attributes:
        pixels: Side of a tile of pixels that MoVQ encodes; tiles do not overlap.
        latents: Side of a tile of latents that the UNet refines; a quarter of it overlaps.
    """

    pixels: int = 1024
    latents: int = 352


def refined(
    refiner: Any,
    pixels: FloatArray,
    conditioning: Mapping[str, Array],
    noise: Callable[[tuple[int, ...]], FloatArray],
    tiles: Tiles = Tiles(),
) -> FloatArray:
    """Refine a picture.

    Args:
        refiner: A `Kandinsky3FlashPipeline`: its `unet`, `movq` and `scheduler` are used.
        pixels: [1, 3, H, W], about [-1, 1]; H and W are multiples of 64.
        conditioning: What the UNet reads of an empty text; see `Denoiser.begin`.
        noise: Draws standard normals of a shape; it is called for each tile, row by row.
        tiles: Sides of the tiles.

    Returns:
        [1, 3, H, W], not clipped.

    Raises:
        NonFiniteError: A network gave NaN or infinity.
    """
    movq = refiner.movq
    latents = _encoded(movq, pixels, tiles.pixels)
    require_finite(latents, "MoVQ", movq.dtype)
    latents = refined_latents(refiner, latents, conditioning, noise, tiles.latents)
    require_finite(latents, "the refiner's UNet", refiner.unet.dtype)
    decoded = _decoded(movq, latents, tiles.pixels // movq.scale_factor)
    require_finite(decoded, "MoVQ", movq.dtype)
    return decoded


def empty_text(refiner: Any) -> dict[str, Array]:
    """Return what the refiner's UNet reads of an empty text, in diffusers' convention.

    The original reads it from a file, which holds the same: the end of the text, and 127 projected
    zeros.

    Args:
        refiner: A `Kandinsky3FlashPipeline`; its text encoder runs.

    Raises:
        InvalidInputError: The pipeline has no text encoder.
    """
    found = refiner.encode_prompt("", do_classifier_free_guidance=False)
    states = fitted((found.prompt_embeds, found.attention_mask), _TOKENS)
    return conditioning_of(states, None)


def refined_latents(
    refiner: Any,
    latents: FloatArray,
    conditioning: Mapping[str, Array],
    noise: Callable[[tuple[int, ...]], FloatArray],
    size: int,
) -> FloatArray:
    """Noise each tile of latents [1, C, h, w] to the last timestep of Flash, and denoise it."""
    schedule = refiner.scheduler.schedule(_STEPS, _FIRST_STEP)

    def step(tile: FloatArray) -> FloatArray:
        return denoise(
            refiner.unet,
            schedule.noised(tile, noise(tile.shape)),
            schedule,
            conditioning,
            guidance_scale=1.0,
            noise=lambda: noise(tile.shape),
        )

    overlap = size // 4
    rows = [[step(tile) for tile in row] for row in cut_tiles(latents, size, size - overlap)]
    return blended(rows, overlap, size - overlap)


def _encoded(movq: Autoencoder, pixels: FloatArray, size: int) -> FloatArray:
    if max(pixels.shape[-2:]) <= size:
        return movq.encode(pixels)
    rows = [[movq.encode(tile) for tile in row] for row in cut_tiles(pixels, size, size)]
    return blended(rows, 0, size // movq.scale_factor)


def _decoded(movq: Autoencoder, latents: FloatArray, size: int) -> FloatArray:
    if max(latents.shape[-2:]) <= size:
        return movq.decode(latents)
    overlap, factor = size // 4, movq.scale_factor
    rows = [[movq.decode(tile) for tile in row] for row in cut_tiles(latents, size, size - overlap)]
    return blended(rows, overlap * factor, (size - overlap) * factor)
