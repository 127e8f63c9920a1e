"""Carries a picture's transparency, which the network does not know, over to the larger picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["alpha_of", "with_alpha"]


def alpha_of(image: Any) -> Image.Image | None:
    """Return the transparency of a PIL picture as a grey one; None for a picture that has none."""
    if not hasattr(image, "convert"):
        return None
    transparent = image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info
    return image.convert("RGBA").getchannel("A") if transparent else None


def with_alpha(image: Image.Image, alpha: Image.Image | None) -> Image.Image:
    """Return a picture with a transparency, which is resized by bicubic interpolation."""
    if alpha is None:
        return image
    from PIL.Image import Resampling

    whole = image.convert("RGBA")
    whole.putalpha(alpha.resize(image.size, Resampling.BICUBIC))
    return whole
