"""Small pictures of latents, by a linear map that is fitted once to an autoencoder.

Decoding a preview would take as long as decoding the finished picture. A latent cell's colour is
nearly a linear function of its channels, so a small matrix shows what is forming.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kandinsky_core.arrays import Array, FloatArray
from kandinsky_core.pictures.outputs import to_pil

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["LatentPreview"]

_FITTED = 2  # random pictures of latents that the map is fitted to
_SHOWN = 256  # pixels of a preview's longer side


class LatentPreview:
    """Keeps the map of each autoencoder that it has met."""

    def __init__(self) -> None:
        self._maps: dict[int, FloatArray] = {}

    def pictures(self, pipeline: Any, latents: Array) -> Sequence[Image.Image]:
        """Return a small picture of each row of latents [B, C, h, w].

        An RGB sample is shown as it is.
        """
        from PIL import Image

        latents = np.nan_to_num(np.asarray(latents, np.float32))
        if latents.shape[1] == 3:
            colours = latents
        else:
            colours = np.einsum("bchw,cd->bdhw", _with_one(latents), self._map(pipeline, latents))
        pixels = np.clip((colours + 1) / 2, 0, 1).transpose(0, 2, 3, 1)
        shown = []
        for picture in to_pil(pixels):
            scale = _SHOWN / max(picture.size)
            size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
            shown.append(picture.resize(size, Image.Resampling.BICUBIC))
        return shown

    def _map(self, pipeline: Any, latents: Array) -> FloatArray:
        """Return the map [C + 1, 3] to colours in [-1, 1]."""
        key = id(getattr(pipeline, "movq", pipeline))
        if key not in self._maps:
            self._maps[key] = _fitted(pipeline, latents.shape)
        return self._maps[key]


def _fitted(pipeline: Any, shape: tuple[int, ...]) -> FloatArray:
    """Fit the mean colour of each cell to smooth random latents by least squares.

    They have the shape of one finished picture's latents, whose program is compiled.
    """
    rng = np.random.default_rng(0)
    _, channels, height, width = shape
    coarse = rng.standard_normal((_FITTED, channels, -(-height // 4), -(-width // 4)))
    latents = np.repeat(np.repeat(coarse, 4, axis=2), 4, axis=3)[:, :, :height, :width]
    latents = latents.astype(np.float32)
    pixels = np.concatenate([pipeline.decode_latents(one[None]) for one in latents])
    down, across = pixels.shape[2] // height, pixels.shape[3] // width
    means = pixels.reshape(_FITTED, 3, height, down, width, across).mean(axis=(3, 5))
    inputs = _with_one(latents).transpose(0, 2, 3, 1).reshape(-1, channels + 1)
    found = np.linalg.lstsq(inputs, means.transpose(0, 2, 3, 1).reshape(-1, 3), rcond=None)[0]
    fitted: FloatArray = found.astype(np.float32)
    return fitted


def _with_one(latents: Array) -> FloatArray:
    ones = np.ones_like(latents[:, :1])
    return np.concatenate([latents, ones], axis=1)
