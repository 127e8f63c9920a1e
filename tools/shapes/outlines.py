"""Chooses outlines to fill: a scene for the hint, and scenes whose embeddings give the colours."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tools.shapes.scenes import KINDS, POSITIONS, SIZES, Scene, Shape, placed, random_scene, reach

__all__ = ["Outline", "random_outline"]

_TWO_SHAPES = 0.2
_FREE = 0.6  # share of single shapes of any place, radius and tilt
_LEAST, _MOST = 0.1, 0.3  # radius of such a shape
_TILTED = 0.6  # share of such shapes that are tilted
_SAME = 0.2  # share of embeddings that come from the picture itself


@dataclass(frozen=True)
class Outline:
    """A scene to draw, whose shapes are the hint, and scenes with the same colours."""

    scene: Scene
    described: tuple[Scene, ...]


def _name(rng: np.random.Generator, names: tuple[str, ...]) -> str:
    return names[rng.integers(len(names))]


def _free(shape: Shape, rng: np.random.Generator) -> Shape:
    """Return the shape with a radius, a place and a tilt of its own."""
    radius = float(rng.uniform(_LEAST, _MOST))
    low = reach(radius) + 0.02
    x, y = (float(value) for value in rng.uniform(low, 1 - low, 2))
    angle = float(rng.uniform(0, 2 * np.pi)) if rng.random() < _TILTED else 0.0
    return replace(shape, x=x, y=y, radius=radius, angle=angle)


def _other(scene: Scene, rng: np.random.Generator) -> Scene:
    """Return a scene in the same colours, with other kinds and sizes, a single shape elsewhere."""
    sizes = tuple(SIZES) if len(scene.shapes) == 1 else ("small", "medium")
    shapes = []
    for shape in scene.shapes:
        place = _name(rng, tuple(POSITIONS)) if len(scene.shapes) == 1 else shape.position
        shapes.append(placed(_name(rng, KINDS), shape.colour, _name(rng, sizes), place, rng))
    return Scene(scene.ground, tuple(shapes))


def random_outline(rng: np.random.Generator, descriptions: int = 4) -> Outline:
    """Choose a scene of one or two shapes, half of the pairs in one colour, at random."""
    scene = random_scene(rng, _TWO_SHAPES)
    model = scene
    if len(scene.shapes) == 2 and rng.random() < 0.5:  # one is described, both have its colour
        first, second = scene.shapes
        scene = Scene(scene.ground, (first, replace(second, colour=first.colour)))
        model = Scene(scene.ground, (first,))
    elif len(scene.shapes) == 1 and rng.random() < _FREE:
        scene = Scene(scene.ground, (_free(scene.shapes[0], rng),))
    described = (scene if rng.random() < _SAME else _other(model, rng) for _ in range(descriptions))
    return Outline(scene, tuple(described))
