"""Writes captions of scenes, worded in many ways."""

from __future__ import annotations

import numpy as np

from tools.shapes.scenes import Scene, Shape

__all__ = ["caption", "describe"]

_SIZE_WORDS: dict[str, tuple[str, ...]] = {
    "small": ("small", "little", "tiny"),
    "medium": ("", "", "", "", "medium", "medium-sized"),
    "large": ("large", "big", "huge"),
}
_POSITION_PHRASES: dict[str, tuple[str, ...]] = {
    "center": ("", "", "", "in the middle", "in the center", "in the centre", "at the center"),
    "left": ("on the left", "at the left", "on the left side", "to the left"),
    "right": ("on the right", "at the right", "on the right side", "to the right"),
    "top": ("at the top", "near the top", "at the top of the picture", "in the upper part"),
    "bottom": (
        "at the bottom",
        "near the bottom",
        "at the bottom of the picture",
        "in the lower part",
    ),
}
_GROUND_PHRASES: tuple[str, ...] = (
    "on a {} background",
    "on a {} background",
    "against a {} background",
    "with a {} background",
    "on a {} ground",
    "on {} ground",
    "on a {} backdrop",
    "over a {} backdrop",
    "in front of a {} backdrop",
    "on {}",
)
_PREFIXES = ("a picture of ", "an image of ", "a drawing of ", "there is ", "draw ", "show me ")
_BETWEEN = {
    ("left", "right"): ("to the left of", "left of", "on the left of"),
    ("right", "left"): ("to the right of", "right of", "on the right of"),
    ("top", "bottom"): ("above", "over"),
    ("bottom", "top"): ("below", "under"),
}
# Words that say nothing about the scene; people still add them.
_VAGUE = (
    "high quality",
    "best quality",
    "low quality",
    "bad quality",
    "low quality, bad quality",
    "ugly, blurry, deformed",
    "text, watermark",
    "4k photo",
    "a picture",
    "shapes",
    "digital art",
    "please",
    "minimal flat style",
)
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_VAGUE_ONLY = 0.015  # share of captions that say nothing
_PADDED = 0.08  # share of captions with vague or unknown words at the end
_NO_GROUND = 0.04  # share of captions that leave out the ground
_FRAGMENT = 0.04  # share of captions that name one thing only


def _pick(rng: np.random.Generator, choices: tuple[str, ...]) -> str:
    return choices[rng.integers(len(choices))]


def _joined(*parts: str) -> str:
    return " ".join(part for part in parts if part)


def _noun(shape: Shape, rng: np.random.Generator) -> str:
    """Name the shape with its size and colour: "a large red circle"."""
    size = _pick(rng, _SIZE_WORDS[shape.size])
    kind, colour = shape.kind, shape.colour
    style = rng.random()
    if style < 0.8:
        words = _joined(size, colour, kind)
    elif style < 0.9:
        words = _joined(size, kind, "in", colour)
    else:
        words = _joined(size, kind, "that is", colour)
    article = "an" if words[0] in "aeiou" else "a"
    return f"{article} {words}" if rng.random() < 0.85 else words


def _ground(scene: Scene, rng: np.random.Generator) -> str:
    words = _pick(rng, _GROUND_PHRASES).format(scene.ground)
    return words.replace(" a orange", " an orange")


def _tags(scene: Scene, rng: np.random.Generator) -> str:
    """List the facts with commas: "red circle, left, blue background"."""
    parts = []
    for shape in scene.shapes:
        place = "" if shape.position == "center" else shape.position
        size = _pick(rng, _SIZE_WORDS[shape.size])
        if rng.random() < 0.5 and place:
            parts += [_joined(size, shape.colour, shape.kind), place]
        else:
            parts.append(_joined(size, shape.colour, shape.kind, place))
    parts.append(f"{scene.ground} background")
    return ", ".join(parts)


def _one(scene: Scene, rng: np.random.Generator) -> str:
    shape = scene.shapes[0]
    noun, ground = _noun(shape, rng), _ground(scene, rng)
    place = _pick(rng, _POSITION_PHRASES[shape.position])
    style = rng.random()
    if style < 0.4:
        return _joined(noun, place, ground)
    if style < 0.6:
        return _joined(noun, ground, place)
    if style < 0.75:
        return f"{ground}, {_joined(noun, place)}"
    if style < 0.85 and place:
        return f"{place}, {_joined(noun, ground)}"
    if style < 0.92:
        return f"{_joined(noun, place)}, {scene.ground} background"
    return f"{_joined(noun, place)}. the background is {scene.ground}"


def _two(scene: Scene, rng: np.random.Generator) -> str:
    shapes = list(scene.shapes)
    if rng.random() < 0.5:
        shapes.reverse()
    first, second = (_noun(shape, rng) for shape in shapes)
    places = shapes[0].position, shapes[1].position
    ground = _ground(scene, rng)
    if rng.random() < 0.3:
        both = _joined(first, _pick(rng, _BETWEEN[places]), second)
    else:
        near, far = (_pick(rng, _POSITION_PHRASES[place]) for place in places)
        link = _pick(rng, (" and ", " and ", ", ", " with ", ", and "))
        both = f"{_joined(first, near)}{link}{_joined(second, far)}"
    style = rng.random()
    if style < 0.6:
        return _joined(both, ground)
    if style < 0.85:
        return f"{ground}, {both}"
    return f"{both}, {scene.ground} background"


def _fragment(scene: Scene, rng: np.random.Generator) -> str:
    """Name one fact only, which leaves the rest open."""
    shape = scene.shapes[0]
    choices = [shape.kind, shape.colour, f"a {scene.ground} background", f"{scene.ground} ground"]
    if len(scene.shapes) == 1:
        choices += [_joined(_pick(rng, _SIZE_WORDS[shape.size]), shape.kind)]
    return _pick(rng, tuple(choices))


def _vague(rng: np.random.Generator) -> str:
    """Return words that say nothing about the scene, sometimes no words at all."""
    if rng.random() < 0.7:
        return _pick(rng, _VAGUE)
    return "".join(_LETTERS[rng.integers(26)] for _ in range(rng.integers(2, 8)))


def caption(scene: Scene, rng: np.random.Generator) -> str:
    """Describe the scene in words chosen at random; a few captions tell only a part, or nothing."""
    chance = rng.random()
    if chance < _VAGUE_ONLY:
        return _vague(rng)
    words = _description(scene, rng)
    if rng.random() < _PADDED:
        return f"{words}, {_vague(rng)}"
    return words + _pick(rng, ("", "", "", ".", "!"))


def _description(scene: Scene, rng: np.random.Generator) -> str:
    chance = rng.random()
    if chance < _FRAGMENT:
        return _fragment(scene, rng)
    if chance < _FRAGMENT + _NO_GROUND and len(scene.shapes) == 1:
        shape = scene.shapes[0]
        return _joined(_noun(shape, rng), _pick(rng, _POSITION_PHRASES[shape.position]))
    return describe(scene, rng)


def describe(scene: Scene, rng: np.random.Generator) -> str:
    """Describe the whole scene: every kind, colour, size and place, and the ground.

    No word for the size means medium; no word for the place means the center.
    """
    if rng.random() < 0.1:
        return _tags(scene, rng)
    words = _one(scene, rng) if len(scene.shapes) == 1 else _two(scene, rng)
    if words.startswith(("a ", "an ")) and rng.random() < 0.2:
        words = _pick(rng, _PREFIXES) + words
    return words
