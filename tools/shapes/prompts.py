"""Makes prompts with the scenes that they ask for, and compares a picture's verdict with them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tools.shapes.captions import describe
from tools.shapes.judge import Verdict
from tools.shapes.scenes import COLOURS, KINDS, PAIRS, POSITIONS, SIZES, Scene, placed

__all__ = ["ATTRIBUTES", "Prompt", "check", "evaluation_prompts"]

ATTRIBUTES: tuple[str, ...] = ("colour", "ground", "kind", "position", "size", "count")
_TWO_SHAPES = 5  # every fifth prompt asks for two shapes
_GOOD_MATCH = 0.7  # a shape that overlaps less with the ideal one is no shape at all


@dataclass(frozen=True)
class Prompt:
    """A prompt, and the scene that it describes."""

    text: str
    scene: Scene


def _round_robin(names: tuple[str, ...], rng: np.random.Generator) -> Iterator[str]:
    """Give every name equally often, shuffled anew in each round."""
    while True:
        yield from (names[index] for index in rng.permutation(len(names)))


def _styled(text: str, index: int) -> str:
    """Write some prompts as people do: a capital, all capitals, a full stop."""
    styles = (text, text, text.capitalize(), text.capitalize() + ".", text.upper(), text + "!")
    return styles[index % len(styles)]


def evaluation_prompts(count: int = 200, seed: int = 0) -> list[Prompt]:
    """Return `count` prompts in many wordings, the same for the same seed.

    Kinds, colours, grounds, sizes and places occur equally often; every fifth prompt asks for
    two shapes. No word for the size means medium, no word for the place means the center.
    """
    rng = np.random.default_rng([seed, 3])
    kinds, colours = _round_robin(KINDS, rng), _round_robin(tuple(COLOURS), rng)
    grounds, places = _round_robin(tuple(COLOURS), rng), _round_robin(tuple(POSITIONS), rng)
    sizes, small_sizes = (_round_robin(names, rng) for names in (tuple(SIZES), tuple(SIZES)[:2]))
    prompts = []
    for index in range(count):
        two = index % _TWO_SHAPES == _TWO_SHAPES - 1
        ground = next(grounds)
        where = PAIRS[index // _TWO_SHAPES % len(PAIRS)] if two else (next(places),)
        shapes = tuple(
            placed(
                next(kinds),
                next(name for name in colours if name != ground),
                next(small_sizes if two else sizes),
                place,
                rng,
            )
            for place in where
        )
        scene = Scene(ground, shapes)
        prompts.append(Prompt(_styled(describe(scene, rng), index), scene))
    return prompts


def check(verdict: Verdict, prompt: Prompt) -> dict[str, bool]:
    """Compare the verdict on a picture with its prompt, attribute by attribute.

    An attribute is right where it is right for every shape. With one shape, the largest one seen
    counts; with two, the two largest, ordered as the places that were asked for.
    """
    wanted = prompt.scene.shapes
    seen = list(verdict.shapes[: len(wanted)])
    if len(wanted) == 2:
        order = {shape.position: index for index, shape in enumerate(wanted)}
        seen.sort(key=lambda shape: order.get(shape.position, len(order)))
    complete = len(seen) == len(wanted)
    pairs = list(zip(wanted, seen, strict=False))
    return {
        "colour": complete and all(want.colour == got.colour for want, got in pairs),
        "ground": verdict.ground == prompt.scene.ground,
        "kind": complete
        and all(want.kind == got.kind and got.match >= _GOOD_MATCH for want, got in pairs),
        "position": complete and all(want.position == got.position for want, got in pairs),
        "size": complete and all(want.size == got.size for want, got in pairs),
        "count": len(verdict.shapes) == len(wanted),
    }
