"""Makes the questions that evaluate the two variants, with their right answers."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tools.shapes.captions import describe
from tools.shapes.edits import Box
from tools.shapes.scenes import COLOURS, KINDS, PAIRS, POSITIONS, SIZES, Scene, Shape, placed, reach

__all__ = ["FillPrompt", "RepaintPrompt", "fill_prompts", "repaint_prompts"]

_BOXES = 3  # every third picture is repainted in a box, the others in a half
_HALVES = ("left", "right", "top", "bottom")
_WORDINGS = ("shape", "ground", "place", "whole")
_OPPOSITE = {one: other for pair in PAIRS for one, other in (pair, pair[::-1])}
_HALF_BOXES: dict[str, Box] = {
    "left": (0.0, 0.0, 0.5, 1.0),
    "right": (0.5, 0.0, 1.0, 1.0),
    "top": (0.0, 0.0, 1.0, 0.5),
    "bottom": (0.0, 0.5, 1.0, 1.0),
}
_PHRASES = {
    "center": "in the middle",
    "left": "on the left",
    "right": "on the right",
    "top": "at the top",
    "bottom": "at the bottom",
}


@dataclass(frozen=True)
class RepaintPrompt:
    """A picture, the part to repaint, the words, and the picture that is right."""

    text: str
    wording: str
    part: str
    before: Scene
    after: Scene
    box: Box


@dataclass(frozen=True)
class FillPrompt:
    """The words, the scene whose outline is the hint, and the way in which the two disagree."""

    text: str
    disagreement: str
    scene: Scene


def _name(rng: np.random.Generator, names: tuple[str, ...], *without: str) -> str:
    left = tuple(name for name in names if name not in without)
    return left[rng.integers(len(left))]


def _article(words: str) -> str:
    return f"an {words}" if words[0] in "aeiou" else f"a {words}"


def _shape(place: str, size: str, rng: np.random.Generator, *colours: str) -> Shape:
    """Return a shape of any kind, in a colour other than the given ones."""
    return placed(_name(rng, KINDS), _name(rng, tuple(COLOURS), *colours), size, place, rng)


def _words(wording: str, new: Shape, after: Scene, rng: np.random.Generator) -> str:
    """Name the new shape alone, or with its ground and its place; or name the whole picture."""
    noun = _article(f"{new.colour} {new.kind}")
    ground = f"on {_article(after.ground)} background"
    if wording == "shape":
        return noun
    if wording == "ground":
        return f"{noun} {ground}"
    if wording == "place":
        return f"{noun} {_PHRASES[new.position]} {ground}"
    return describe(after, rng)


def repaint_prompts(count: int = 120, seed: int = 0) -> list[RepaintPrompt]:
    """Return `count` pictures to repaint, the same for the same seed.

    In two of three pictures one half keeps its shape, and the prompt asks for a new shape of medium
    size in the other half. Every second time an old shape lies there. In the third picture a shape
    in a box becomes another one.
    """
    rng = np.random.default_rng([seed, 10])
    prompts = []
    for index in range(count):
        ground = _name(rng, tuple(COLOURS))
        wording = _WORDINGS[index // _BOXES % len(_WORDINGS)]
        boxed = index % _BOXES == _BOXES - 1
        half = _HALVES[(index + index // 12) % len(_HALVES)]
        place = _name(rng, tuple(POSITIONS)) if boxed else half
        new = _shape(place, "medium", rng, ground)
        kept: tuple[Shape, ...] = ()
        if not boxed or (place != "center" and rng.random() < 0.5):
            size = _name(rng, ("small", "medium"))
            kept = (_shape(_OPPOSITE[place], size, rng, ground),)
        old = replace(new, kind=_name(rng, KINDS), colour=_name(rng, tuple(COLOURS), ground))
        after = Scene(ground, (*kept, new))
        before = Scene(ground, (*kept, old) if boxed or rng.random() < 0.5 else kept)
        far = reach(new.radius) + 0.03
        box = (new.x - far, new.y - far, new.x + far, new.y + far) if boxed else _HALF_BOXES[place]
        text = _words(wording, new, after, rng)
        prompts.append(RepaintPrompt(text, wording, "box" if boxed else place, before, after, box))
    return prompts


def fill_prompts(count: int = 120, seed: int = 0) -> list[FillPrompt]:
    """Return `count` hints with prompts, the same for the same seed.

    In turn the prompt names the kind of the hint, another kind, another kind with another place
    and size, and a kind for a tilted hint of any place and size.
    """
    rng = np.random.default_rng([seed, 11])
    prompts = []
    for index in range(count):
        ground = _name(rng, tuple(COLOURS))
        shape = _shape(_name(rng, tuple(POSITIONS)), _name(rng, tuple(SIZES)), rng, ground)
        case = ("none", "kind", "kind, place and size", "tilt")[index % 4]
        kind = shape.kind if case == "none" else _name(rng, KINDS, shape.kind)
        noun, place = f"{shape.colour} {kind}", ""
        if case == "kind, place and size":
            noun = f"{_name(rng, ('small', 'large'), shape.size)} {noun}"
            place = _PHRASES[_name(rng, tuple(POSITIONS), shape.position)]
        elif case == "tilt":
            radius = float(rng.uniform(0.12, 0.28))
            low = reach(radius) + 0.02
            x, y = (float(value) for value in rng.uniform(low, 1 - low, 2))
            shape = replace(shape, x=x, y=y, radius=radius, angle=float(rng.uniform(0, 2 * np.pi)))
        words = (_article(noun), place, f"on {_article(ground)} background")
        text = " ".join(part for part in words if part)
        prompts.append(FillPrompt(text, case, Scene(ground, (shape,))))
    return prompts
