"""Judge a picture by its pixels: which shapes, colours, sizes and places does it show?

Pictures with a hint or an original are also measured against it.

The module needs only NumPy and Pillow, and works on pictures of any size.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tools.shapes.scenes import COLOURS, KINDS, SIZES, distance

__all__ = ["Seen", "Verdict", "judge", "likeness", "overlap", "seam"]

_NAMES = tuple(COLOURS)
_PALETTE = np.array([COLOURS[name] for name in _NAMES], np.float64)
_BORDER = 0.03  # width of the rim that shows the ground, as a part of the shorter side
_SMALLEST = 0.006  # smallest area of a shape, as a part of the picture
_MIDDLE = 0.1  # a shape less far from the middle (in parts of the side) is in the center
_AREAS = {"circle": np.pi, "square": 2.9584, "triangle": 1.7782, "star": 1.788}  # for radius 1

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Seen:
    """A shape in a picture; `match` is the overlap with the ideal shape (1 is perfect)."""

    kind: str
    colour: str
    size: str
    position: str
    match: float


@dataclass(frozen=True)
class Verdict:
    """The ground colour, and the shapes from the largest to the smallest."""

    ground: str
    shapes: tuple[Seen, ...]


def _name(colour: Floats) -> str:
    """Return the name of the nearest colour of the palette."""
    return _NAMES[int(np.square(_PALETTE - colour).sum(1).argmin())]


def _ground(pixels: Floats) -> Floats:
    """Return the colour of most pixels of the rim."""
    rim = max(1, round(_BORDER * min(pixels.shape[:2])))
    inside = np.zeros(pixels.shape[:2], bool)
    inside[rim:-rim, rim:-rim] = True
    border = pixels[~inside]
    nearest = np.square(border[:, None] - _PALETTE).sum(2).argmin(1)
    most = np.bincount(nearest, minlength=len(_NAMES)).argmax()
    colour: Floats = np.median(border[nearest == most], axis=0)
    return colour


def _parts(mask: Mask) -> list[Mask]:
    """Split the mask into its connected parts (neighbours share a side)."""
    left = mask.copy()
    height, width = mask.shape
    parts = []
    for start in zip(*np.nonzero(mask), strict=True):
        if not left[start]:
            continue
        part = np.zeros_like(mask)
        stack = [(int(start[0]), int(start[1]))]
        left[start] = False
        while stack:
            row, column = stack.pop()
            part[row, column] = True
            for y, x in (
                (row - 1, column),
                (row + 1, column),
                (row, column - 1),
                (row, column + 1),
            ):
                if 0 <= y < height and 0 <= x < width and left[y, x]:
                    left[y, x] = False
                    stack.append((y, x))
        parts.append(part)
    return parts


def _grown(mask: Mask) -> Mask:
    """Add two rings of pixels, so that the soft rim of a shape belongs to it."""
    for _ in range(2):
        padded = np.pad(mask, 1)
        mask = (
            padded[1:-1, 1:-1]
            | padded[:-2, 1:-1]
            | padded[2:, 1:-1]
            | padded[1:-1, :-2]
            | padded[1:-1, 2:]
        )
    return mask


def _position(x: float, y: float) -> str:
    """Name the place from the offset to the middle, in parts of width and height."""
    if max(abs(x), abs(y)) < _MIDDLE:
        return "center"
    if abs(x) > abs(y):
        return "left" if x < 0 else "right"
    return "top" if y < 0 else "bottom"


def _size(radius: float) -> str:
    """Name the size from the radius as a part of the shorter side."""
    middles = {name: sum(limits) / 2 for name, limits in SIZES.items()}
    return min(middles, key=lambda name: abs(middles[name] - radius))


def _covered(pixels: Floats, part: Mask, ground: Floats) -> tuple[Floats, Floats]:
    """Return the colour of one connected part, and how much of each pixel it covers."""
    # The inner colour: the median of the half of the pixels that differ most from the ground.
    far = np.linalg.norm(pixels[part] - ground, axis=1)
    colour = np.median(pixels[part][far >= np.median(far)], axis=0)
    axis = colour - ground
    return colour, np.clip((pixels - ground) @ axis / (axis @ axis), 0, 1) * _grown(part)


def _seen(pixels: Floats, part: Mask, ground: Floats) -> Seen:
    """Describe one connected part."""
    colour, cover = _covered(pixels, part, ground)
    area = cover.sum()
    rows, columns = np.mgrid[0 : part.shape[0], 0 : part.shape[1]] + 0.5
    y, x = (rows * cover).sum() / area, (columns * cover).sum() / area
    matches = {}
    for kind in KINDS:
        outside = distance(kind, columns - x, rows - y, float(np.sqrt(area / _AREAS[kind])))
        ideal = np.clip(0.5 - outside, 0, 1)
        matches[kind] = float(np.minimum(cover, ideal).sum() / np.maximum(cover, ideal).sum())
    kind = max(matches, key=lambda name: matches[name])
    height, width = part.shape
    radius = float(np.sqrt(area / _AREAS[kind])) / min(height, width)
    position = _position(x / width - 0.5, y / height - 0.5)
    return Seen(kind, _name(colour), _size(radius), position, matches[kind])


def _read(image: Image.Image | NDArray[np.uint8]) -> tuple[Floats, Floats, list[Mask]]:
    """Return the pixels, the colour of the ground, and the parts from the largest on.

    A pixel belongs to a shape where it differs from the ground by more than a third of the
    smallest difference between two colours of the palette, 34 of 255.
    """
    picture = image.convert("RGB") if isinstance(image, Image.Image) else image
    pixels = np.asarray(picture, np.float64)
    ground = _ground(pixels)
    parts = _parts(np.linalg.norm(pixels - ground, axis=2) > 34)
    least = _SMALLEST * pixels.shape[0] * pixels.shape[1]
    large = (part for part in parts if part.sum() >= least)
    return pixels, ground, sorted(large, key=lambda part: -part.sum())


def judge(image: Image.Image | NDArray[np.uint8]) -> Verdict:
    """Say what a picture shows; `image` is a PIL image or uint8 [height, width, 3]."""
    pixels, ground, parts = _read(image)
    return Verdict(_name(ground), tuple(_seen(pixels, part, ground) for part in parts))


def overlap(image: Image.Image | NDArray[np.uint8], hint: NDArray[np.uint8]) -> float:
    """Return how well the shapes match the hint's: intersection over union, 0 to 1.

    The hint, uint8 [height, width] of the picture's size, is white where the shapes are to be.
    Pixels on an outline count in part.
    """
    pixels, ground, parts = _read(image)
    covers = [_covered(pixels, part, ground)[1] for part in parts]
    cover = np.max([np.zeros(hint.shape), *covers], axis=0)
    wanted = hint / 255.0
    return float(np.minimum(cover, wanted).sum() / np.maximum(cover, wanted).sum())


def likeness(image: Image.Image, original: Image.Image, kept: Mask) -> float:
    """Return the PSNR in dB of the pixels that are kept; `kept` is [height, width]."""
    one, other = (np.asarray(picture.convert("RGB"), np.float64) for picture in (image, original))
    error = np.square(one - other)[kept].mean()
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


def seam(image: Image.Image | NDArray[np.uint8], kept: Mask) -> float:
    """Return how much the grounds of the repainted and the kept part differ, of 255.

    It is the largest difference of a channel between the two medians, or 0 where a part shows no
    ground.
    """
    pixels, ground, _ = _read(image)
    plain = np.linalg.norm(pixels - ground, axis=2) <= 34
    if not (plain & kept).any() or not (plain & ~kept).any():
        return 0.0
    one, other = (np.median(pixels[plain & side], axis=0) for side in (kept, ~kept))
    return float(np.abs(one - other).max())
