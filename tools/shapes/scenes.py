"""Chooses scenes of one or two coloured shapes at random, and draws them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "COLOURS",
    "KINDS",
    "PAIRS",
    "POSITIONS",
    "SIZES",
    "Scene",
    "Shape",
    "distance",
    "draw",
    "placed",
    "random_scene",
    "reach",
    "silhouette",
]

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (215, 30, 40),
    "green": (30, 150, 60),
    "blue": (30, 70, 220),
    "yellow": (250, 225, 40),
    "purple": (145, 45, 185),
    "orange": (245, 125, 20),
    "black": (15, 15, 15),
    "white": (250, 250, 250),
}
KINDS: tuple[str, ...] = ("circle", "square", "triangle", "star")
# The radius of a circle, and a like measure of other shapes, as a part of the shorter side.
SIZES: dict[str, tuple[float, float]] = {
    "small": (0.13, 0.145),
    "medium": (0.175, 0.19),
    "large": (0.235, 0.255),
}
# Middle of the shape in parts of width and height.
POSITIONS: dict[str, tuple[float, float]] = {
    "center": (0.5, 0.5),
    "left": (0.26, 0.5),
    "right": (0.74, 0.5),
    "top": (0.5, 0.26),
    "bottom": (0.5, 0.74),
}
PAIRS: tuple[tuple[str, str], ...] = (("left", "right"), ("top", "bottom"))
_JITTER = 0.025  # how far a shape may lie from the middle of its place
_REACH = 1.17  # farthest point of any shape from its middle, in radii


@dataclass(frozen=True)
class Shape:
    """One shape: its names, its exact middle and radius in parts of the side, its tilt."""

    kind: str
    colour: str
    size: str
    position: str
    x: float
    y: float
    radius: float
    angle: float = 0.0  # in radians, clockwise


@dataclass(frozen=True)
class Scene:
    """A ground colour and one or two shapes on it."""

    ground: str
    shapes: tuple[Shape, ...]


def reach(radius: float) -> float:
    """Return how far any shape of this radius reaches from its middle."""
    return _REACH * radius


def placed(kind: str, colour: str, size: str, position: str, rng: np.random.Generator) -> Shape:
    """Return the shape with its radius and middle drawn at random around its place."""
    radius = float(rng.uniform(*SIZES[size]))
    low = _REACH * radius + 0.02
    x, y = (
        float(np.clip(middle + rng.uniform(-_JITTER, _JITTER), low, 1 - low))
        for middle in POSITIONS[position]
    )
    return Shape(kind, colour, size, position, x, y, radius)


def random_scene(rng: np.random.Generator, two_shapes: float = 0.3) -> Scene:
    """Choose a scene at random; `two_shapes` is the share of scenes with two shapes."""
    names = list(COLOURS)
    ground = names[rng.integers(len(names))]
    others = [name for name in names if name != ground]

    def shape(position: str, sizes: list[str]) -> Shape:
        kind = KINDS[rng.integers(len(KINDS))]
        colour = others[rng.integers(len(others))]
        return placed(kind, colour, sizes[rng.integers(len(sizes))], position, rng)

    if rng.random() < two_shapes:
        places = PAIRS[rng.integers(len(PAIRS))]
        return Scene(ground, tuple(shape(place, ["small", "medium"]) for place in places))
    place = list(POSITIONS)[rng.integers(len(POSITIONS))]
    return Scene(ground, (shape(place, list(SIZES)),))


def distance(
    kind: str, x: NDArray[np.float64], y: NDArray[np.float64], r: float
) -> NDArray[np.float64]:
    """Return how far each point lies outside the outline (negative inside), in the units of r.

    The middle of the shape (its center of mass) is at the origin; y points down.
    """
    if kind == "circle":
        return np.hypot(x, y) - r
    if kind == "square":
        return np.maximum(np.abs(x), np.abs(y)) - 0.86 * r
    if kind == "triangle":  # three half planes; the tip points up
        slope = np.sqrt(3) / 2
        return np.maximum(y, slope * np.abs(x) - y / 2) - 0.585 * r
    # Star: fold the plane to a tenth, where the outline is one straight line between the tip
    # at angle 0 and the notch at angle pi / 5.
    outer, inner, tenth = _REACH * r, 0.52 * r, np.pi / 5
    angle = np.arctan2(x, -y)
    angle = np.abs((angle + tenth) % (2 * tenth) - tenth)
    along = np.hypot(x, y)
    tip, notch = np.array([outer, 0.0]), inner * np.array([np.cos(tenth), np.sin(tenth)])
    edge = notch - tip
    normal = np.array([edge[1], -edge[0]]) / np.hypot(*edge)
    outside: NDArray[np.float64]
    outside = (along * np.cos(angle) - tip[0]) * normal[0] + along * np.sin(angle) * normal[1]
    return outside


def _cover(shape: Shape, width: int, height: int) -> NDArray[np.float64]:
    """Return how much of every pixel the shape covers [height, width]."""
    rows, columns = np.mgrid[0:height, 0:width] + 0.5
    x, y = columns - shape.x * width, rows - shape.y * height
    if shape.angle:
        cosine, sine = np.cos(shape.angle), np.sin(shape.angle)
        x, y = cosine * x + sine * y, cosine * y - sine * x
    outside = distance(shape.kind, x, y, shape.radius * min(width, height))
    return np.clip(0.5 - outside, 0.0, 1.0)


def draw(scene: Scene, width: int = 64, height: int | None = None) -> NDArray[np.uint8]:
    """Draw the scene, antialiased, as uint8 [height, width, 3]; height None means square."""
    height = width if height is None else height
    ground = np.array(COLOURS[scene.ground], np.float64)
    picture: NDArray[np.float64] = np.tile(ground, (height, width, 1))
    for shape in scene.shapes:
        cover = _cover(shape, width, height)[..., None]
        colour = np.array(COLOURS[shape.colour], np.float64)
        picture = np.asarray(picture * (1 - cover) + cover * colour, np.float64)
    return np.round(picture).astype(np.uint8)


def silhouette(scene: Scene, width: int = 64, height: int | None = None) -> NDArray[np.uint8]:
    """Draw all shapes white on black, antialiased, as uint8 [height, width]."""
    height = width if height is None else height
    covers = [np.zeros((height, width)), *(_cover(s, width, height) for s in scene.shapes)]
    white: NDArray[np.float64] = 255 * np.max(covers, axis=0)
    return np.round(white).astype(np.uint8)
