"""The scenes, captions and judge of the embedded model agree with one another."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from tools.shapes.captions import caption, describe
from tools.shapes.judge import judge
from tools.shapes.prompts import ATTRIBUTES, check, evaluation_prompts
from tools.shapes.scenes import COLOURS, KINDS, POSITIONS, SIZES, Scene, Shape, draw, random_scene
from tools.shapes.vocabulary import END, START, byte_symbols, learn_merges, write_vocabulary

PROMPTS = evaluation_prompts(120, seed=7)


def one_shape(kind: str = "circle", colour: str = "red", ground: str = "blue") -> Scene:
    return Scene(ground, (Shape(kind, colour, "medium", "center", 0.5, 0.5, 0.18),))


@pytest.mark.parametrize("size", [(64, 64), (96, 64), (64, 96), (128, 128), (101, 77)])
def test_the_judge_is_right_on_every_drawn_picture(size: tuple[int, int]) -> None:
    for prompt in PROMPTS[:60]:
        result = check(judge(draw(prompt.scene, *size)), prompt)
        assert all(result.values()), (prompt, result)


@pytest.mark.parametrize("ground", list(COLOURS))
@pytest.mark.parametrize("kind", KINDS)
def test_every_pair_of_colours_and_every_kind_is_told_apart(kind: str, ground: str) -> None:
    for colour in COLOURS:
        if colour != ground:
            verdict = judge(draw(one_shape(kind, colour, ground)))
            assert verdict.ground == ground
            assert [(s.kind, s.colour) for s in verdict.shapes] == [(kind, colour)]


def test_the_judge_forgives_blur_and_noise() -> None:
    rng = np.random.default_rng(0)
    for prompt in PROMPTS:
        blurred = Image.fromarray(draw(prompt.scene)).filter(ImageFilter.GaussianBlur(0.8))
        noisy = np.asarray(blurred, float) + rng.normal(0, 6, (64, 64, 3))
        picture = np.clip(noisy, 0, 255).astype(np.uint8)
        result = check(judge(picture), prompt)
        assert all(result.values()), (prompt, result)


def test_the_judge_sees_what_is_wrong() -> None:
    prompt = next(p for p in PROMPTS if len(p.scene.shapes) == 1)
    want = prompt.scene.shapes[0]
    other_kind = next(kind for kind in KINDS if kind != want.kind)
    other_colour = next(c for c in COLOURS if c not in (want.colour, prompt.scene.ground))
    x = 0.26 if want.position != "left" else 0.74
    moved = Shape(other_kind, other_colour, want.size, "", x, 0.5, want.radius)
    result = check(judge(draw(Scene(prompt.scene.ground, (moved,)))), prompt)
    assert result == {
        "colour": False,
        "ground": True,
        "kind": False,
        "position": False,
        "size": True,
        "count": True,
    }
    empty = check(judge(draw(Scene(prompt.scene.ground, ()))), prompt)
    assert [name for name in ATTRIBUTES if empty[name]] == ["ground"]


def test_a_smear_is_no_shape() -> None:
    picture = draw(Scene("white", ()))
    picture[30:34, 4:60] = COLOURS["red"]
    (seen,) = judge(picture).shapes
    assert seen.match < 0.7


def test_the_prompts_cover_everything_evenly_and_are_repeatable() -> None:
    prompts = evaluation_prompts(200, seed=0)
    assert prompts == evaluation_prompts(200, seed=0)
    assert prompts != evaluation_prompts(200, seed=1)
    shapes = [shape for prompt in prompts for shape in prompt.scene.shapes]
    for names, found in (
        (KINDS, [shape.kind for shape in shapes]),
        (COLOURS, [shape.colour for shape in shapes]),
        (COLOURS, [prompt.scene.ground for prompt in prompts]),
        (POSITIONS, [shape.position for shape in shapes]),
        (SIZES, [shape.size for shape in shapes]),
    ):
        assert min(found.count(name) for name in names) >= 0.08 * len(found)
    assert sum(len(prompt.scene.shapes) == 2 for prompt in prompts) == 40
    assert len({prompt.text for prompt in prompts}) >= 195


def test_a_description_names_kind_colour_and_ground() -> None:
    rng = np.random.default_rng(3)
    for _ in range(300):
        scene = random_scene(rng)
        words = describe(scene, rng)
        named = [scene.ground, *(s.kind for s in scene.shapes), *(s.colour for s in scene.shapes)]
        assert all(name in words for name in named)
        assert "{" not in words
        assert "  " not in words


def test_scenes_keep_inside_the_picture_and_apart_from_their_ground() -> None:
    rng = np.random.default_rng(4)
    for _ in range(300):
        scene = random_scene(rng)
        assert all(shape.colour != scene.ground for shape in scene.shapes)
        rim = draw(scene)[[0, -1]].reshape(-1, 3)
        assert (rim == COLOURS[scene.ground]).all(1).mean() > 0.97  # no more than a soft corner


def test_the_vocabulary_merges_every_word_and_ends_with_the_end_token(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    captions = [caption(random_scene(rng), rng) for _ in range(50)]
    write_vocabulary(learn_merges([*captions, "a circle"]), tmp_path)
    ids = json.loads((tmp_path / "vocab.json").read_text(encoding="utf-8"))
    assert sorted(ids.values()) == list(range(len(ids)))
    assert ids["circle</w>"] > 511
    assert (ids[START], ids[END]) == (len(ids) - 2, len(ids) - 1)
    assert len(set(byte_symbols())) == 256
    assert (tmp_path / "merges.txt").read_text(encoding="utf-8").startswith("#version")


def test_scenes_and_judge_need_no_torch() -> None:
    code = "import sys, tools.shapes.prompts; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
