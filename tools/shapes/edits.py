"""Chooses pictures to repaint in part: the old picture, the part that goes, and the wish."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tools.shapes.scenes import COLOURS, KINDS, PAIRS, POSITIONS, SIZES, Scene, Shape, placed, reach

__all__ = ["Box", "Edit", "clear_edit", "kept_cells", "random_edit"]

Box = tuple[float, float, float, float]  # left, top, right, bottom in parts of the sides

_EVERYTHING: Box = (0.0, 0.0, 1.0, 1.0)
_CELL = 4  # pixels of the side of a latent pixel
_TWO_SHAPES = 0.6  # share of scenes where a shape is kept
_HALF, _BOX, _ANYWHERE = 0.5, 0.35, 0.08  # shares of the kinds of parts; all for the rest
_REMOVED = 0.5  # share of pictures where nothing is to be replaced by the new shape
# Shares of what a description names: the whole new picture, the new shape alone in its place, the
# new shape elsewhere; all other descriptions name it elsewhere and on another ground.
_WHOLE, _ALONE, _ELSEWHERE = 0.35, 0.2, 0.25
_ANY_SIZE = 0.3  # share of shapes elsewhere that also have another size


@dataclass(frozen=True)
class Edit:
    """A picture, the picture wanted, the part to repaint, and scenes that describe the wish."""

    before: Scene
    after: Scene
    box: Box
    described: tuple[Scene, ...]


def kept_cells(box: Box, width: int, height: int) -> NDArray[np.float32]:
    """Return 1 for each latent pixel that the pipelines keep, 0 for the rest [1, h, w].

    They take every fourth pixel of the mask. They also repaint the neighbours of each repainted
    pixel, except the ones above to the right and below to the left.
    """
    left, top, right, bottom = (
        round(part * side) for part, side in zip(box, (width, height) * 2, strict=True)
    )
    mask = np.zeros((height, width), np.float32)
    mask[top:bottom, left:right] = 1
    cells = np.pad(mask[::_CELL, ::_CELL], 1)
    high, wide = height // _CELL, width // _CELL
    moves = ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (1, 1))
    parts = [cells[1 + y : 1 + y + high, 1 + x : 1 + x + wide] for y, x in moves]
    kept: NDArray[np.float32] = 1 - np.max(parts, axis=0, keepdims=True)
    return kept


def _choice(rng: np.random.Generator, names: tuple[str, ...]) -> str:
    return names[rng.integers(len(names))]


def _other_colour(rng: np.random.Generator, *colours: str) -> str:
    return _choice(rng, tuple(name for name in COLOURS if name not in colours))


def _free(rng: np.random.Generator, ground: str, position: str = "") -> Shape:
    """Return a shape of up to medium size in the named place, or anywhere."""
    kind, colour = _choice(rng, KINDS), _other_colour(rng, ground)
    size = _choice(rng, ("small", "medium"))
    shape = placed(kind, colour, size, position or "center", rng)
    if position:
        return shape
    low = reach(shape.radius) + 0.02
    x, y = (float(value) for value in rng.uniform(low, 1 - low, 2))
    return replace(shape, x=x, y=y)


def _apart(one: Shape, other: Shape) -> bool:
    least = reach(one.radius + other.radius)
    return bool(np.hypot(one.x - other.x, one.y - other.y) > least)


def _half(position: str, rng: np.random.Generator) -> Box:
    """Return the half that holds this place; its edge lies about the middle."""
    edge = float(np.clip(0.5 + rng.normal(0, 0.03), 0.42, 0.58))
    return {
        "left": (0.0, 0.0, edge, 1.0),
        "right": (edge, 0.0, 1.0, 1.0),
        "top": (0.0, 0.0, 1.0, edge),
        "bottom": (0.0, edge, 1.0, 1.0),
    }[position]


def _holds(box: Box, shape: Shape) -> bool:
    """Tell whether the shape lies in the box, whatever its kind."""
    left, top, right, bottom = box
    far = reach(shape.radius)
    across = left <= shape.x - far and shape.x + far <= right
    return across and top <= shape.y - far and shape.y + far <= bottom


def _around(shape: Shape, rng: np.random.Generator) -> Box:
    """Return a box around the shape, with a margin of its own on each side."""
    left, top, right, bottom = reach(shape.radius) * rng.uniform(1.05, 1.6, 4)
    return (
        max(0.0, shape.x - left),
        max(0.0, shape.y - top),
        min(1.0, shape.x + right),
        min(1.0, shape.y + bottom),
    )


def _anywhere(rng: np.random.Generator) -> Box:
    left, top = rng.uniform(0, 0.75, 2)
    width, height = rng.uniform(0.2, 0.6, 2)
    return float(left), float(top), min(1.0, float(left + width)), min(1.0, float(top + height))


def _elsewhere(shape: Shape, ground: str, rng: np.random.Generator) -> Scene:
    """Describe the shape alone in any place, most often the middle, which needs no word."""
    size = _choice(rng, tuple(SIZES)) if rng.random() < _ANY_SIZE else shape.size
    place = "center" if rng.random() < 0.5 else _choice(rng, tuple(POSITIONS))
    return Scene(ground, (placed(shape.kind, shape.colour, size, place, rng),))


def _described(new: Shape, after: Scene, rng: np.random.Generator) -> Scene:
    chance = rng.random()
    if chance < _WHOLE:
        return after
    if chance < _WHOLE + _ALONE:
        return Scene(after.ground, (new,))
    if chance < _WHOLE + _ALONE + _ELSEWHERE:
        return _elsewhere(new, after.ground, rng)
    return _elsewhere(new, _other_colour(rng, after.ground, new.colour), rng)


def clear_edit(rng: np.random.Generator, descriptions: int = 2) -> Edit:
    """Choose an edit whose new shape lies in its box and apart from a kept one."""
    while True:
        edit = random_edit(rng, descriptions)
        *kept, new = edit.after.shapes
        clear = _holds(edit.box, new) or edit.before == edit.after
        if clear and all(_apart(old, new) for old in kept):
            return edit


def random_edit(rng: np.random.Generator, descriptions: int = 4) -> Edit:
    """Choose at random to edit a half, a box around a shape, any box, or the whole picture.

    A new shape in a half may reach over its edge a little.
    """
    ground = _choice(rng, tuple(COLOURS))
    chance = rng.random()
    half = chance < _HALF
    pair = PAIRS[rng.integers(len(PAIRS))][:: rng.choice((1, -1))]
    new = _free(rng, ground, pair[0] if half else "")
    kept: tuple[Shape, ...] = ()
    if rng.random() < _TWO_SHAPES:
        old = _free(rng, ground, pair[1])
        kept = (old,) if half or _apart(old, new) else ()
    after = Scene(ground, (*kept, new))
    if chance >= _HALF + _BOX:
        box = _anywhere(rng) if chance < _HALF + _BOX + _ANYWHERE else _EVERYTHING
        return Edit(after, after, box, (after,) * descriptions)
    box = _half(pair[0], rng) if half else _around(new, rng)
    was = replace(new, kind=_choice(rng, KINDS), colour=_other_colour(rng, ground))
    before = Scene(ground, kept if rng.random() < _REMOVED else (*kept, was))
    return Edit(before, after, box, tuple(_described(new, after, rng) for _ in range(descriptions)))
