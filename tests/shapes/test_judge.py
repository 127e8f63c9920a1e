"""The scenes, captions and judge of the embedded model and its variants agree with one another."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from tools.shapes.captions import caption, describe
from tools.shapes.edits import kept_cells, random_edit
from tools.shapes.judge import judge, likeness, overlap, seam
from tools.shapes.outlines import random_outline
from tools.shapes.prompts import ATTRIBUTES, Prompt, check, evaluation_prompts
from tools.shapes.scenes import (
    COLOURS,
    KINDS,
    POSITIONS,
    SIZES,
    Scene,
    Shape,
    draw,
    random_scene,
    silhouette,
)
from tools.shapes.variant_prompts import fill_prompts, repaint_prompts
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


def test_an_overlap_counts_the_area_that_two_shapes_share() -> None:
    wide = Scene("blue", (Shape("square", "red", "large", "", 0.5, 0.5, 0.25),))
    narrow = Scene("blue", (Shape("square", "red", "small", "", 0.5, 0.5, 0.125),))
    assert overlap(draw(wide), silhouette(wide)) > 0.99
    assert overlap(draw(narrow), silhouette(wide)) == pytest.approx(0.25, abs=0.01)
    assert overlap(draw(wide), silhouette(narrow)) == pytest.approx(0.25, abs=0.01)
    assert overlap(draw(Scene("blue", ())), silhouette(wide)) == 0.0


def test_an_overlap_counts_every_shape_and_forgives_soft_outlines() -> None:
    scene = next(prompt.scene for prompt in PROMPTS if len(prompt.scene.shapes) == 2)
    one = Scene(scene.ground, scene.shapes[:1])
    assert overlap(draw(scene), silhouette(scene)) > 0.99
    assert overlap(draw(one), silhouette(scene)) < 0.8
    blurred = Image.fromarray(draw(scene)).filter(ImageFilter.GaussianBlur(0.6))
    assert overlap(blurred, silhouette(scene)) > 0.8


def test_likeness_looks_at_the_kept_part_only() -> None:
    rng = np.random.default_rng(6)
    original = draw(one_shape())
    kept = np.zeros((64, 64), bool)
    kept[:, :32] = True
    changed = original.copy()
    changed[:, 32:] = 255
    noise = rng.choice((-4, 4), original.shape) * kept[..., None]
    changed = np.clip(changed + noise, 0, 255).astype(np.uint8)
    found = likeness(Image.fromarray(changed), Image.fromarray(original), kept)
    assert found == pytest.approx(20 * np.log10(255 / 4), abs=0.1)


def test_a_seam_is_the_step_of_the_ground() -> None:
    picture = draw(one_shape())
    kept = np.zeros((64, 64), bool)
    kept[:, :32] = True
    assert seam(picture, kept) == 0.0
    picture[:, 32:, 1] += 9
    assert seam(picture, kept) == 9.0


def test_a_tilted_shape_is_turned_about_its_middle() -> None:
    upright = Shape("square", "red", "large", "", 0.5, 0.5, 0.25)
    quarter, eighth = (Shape(*list(vars(upright).values())[:-1], np.pi / part) for part in (2, 4))
    drawn = [draw(Scene("blue", (shape,))) for shape in (upright, quarter, eighth)]
    assert np.abs(drawn[0].astype(int) - drawn[1]).max() <= 1
    # A square turned by an eighth shares an octagon of 0.828 of its area with the upright one.
    shared = 0.8284 / (2 - 0.8284)
    found = overlap(drawn[2], silhouette(Scene("blue", (upright,))))
    assert found == pytest.approx(shared, abs=0.01)


def test_the_kept_cells_shrink_by_all_neighbours_but_two() -> None:
    rng = np.random.default_rng(8)
    for _ in range(50):
        left, top = (int(edge) for edge in rng.integers(0, 48, 2))
        right, bottom = left + int(rng.integers(4, 17)), top + int(rng.integers(4, 17))
        box = (left / 96, top / 64, right / 96, bottom / 64)
        mask = np.ones((16, 24), int)
        for row in range(16):
            for column in range(24):
                for y, x in ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, -1)):
                    near = 4 * (row + y), 4 * (column + x)
                    if top <= near[0] < bottom and left <= near[1] < right:
                        mask[row, column] = 0
        np.testing.assert_array_equal(kept_cells(box, 96, 64), mask[None])


def test_an_edit_changes_nothing_outside_its_box_and_describes_the_new_shape() -> None:
    rng = np.random.default_rng(9)
    for _ in range(300):
        edit = random_edit(rng)
        changed = (draw(edit.before) != draw(edit.after)).any(2)
        left, top, right, bottom = (64 * edge for edge in edit.box)
        rows, columns = np.nonzero(changed)
        inside = (
            (columns > left - 2) & (columns < right + 1) & (rows > top - 2) & (rows < bottom + 1)
        )
        assert inside.mean() > 0.93 if len(rows) else edit.before == edit.after
        new = edit.after.shapes[-1]
        for scene in edit.described:
            assert (scene.shapes[-1].kind, scene.shapes[-1].colour) == (new.kind, new.colour)
            assert all(shape.colour != scene.ground for shape in scene.shapes)


def test_an_outline_is_described_in_its_own_colours() -> None:
    rng = np.random.default_rng(10)
    kinds = []
    for _ in range(300):
        outline = random_outline(rng)
        colours = {shape.colour for shape in outline.scene.shapes}
        for scene in outline.described:
            assert scene.ground == outline.scene.ground
            assert {shape.colour for shape in scene.shapes} == colours
            kinds.append(scene.shapes[0].kind == outline.scene.shapes[0].kind)
    assert 0.3 < np.mean(kinds) < 0.5  # one in five is the picture itself, of the others a quarter


def test_the_judge_is_right_on_what_the_variants_are_asked() -> None:
    for prompt in repaint_prompts(60):
        result = check(judge(draw(prompt.after)), Prompt(prompt.text, prompt.after))
        assert all(result.values()), (prompt, result)
        before = judge(draw(prompt.before))
        assert before.ground == prompt.after.ground
    for fill in fill_prompts(60):
        (shape,) = fill.scene.shapes
        assert overlap(draw(fill.scene), silhouette(fill.scene)) > 0.99
        assert (shape.kind in fill.text) == (fill.disagreement == "none")
        assert shape.colour in fill.text
        assert fill.scene.ground in fill.text


def test_what_the_variants_are_asked_is_even_and_repeatable() -> None:
    prompts = repaint_prompts(120)
    assert prompts == repaint_prompts(120)
    assert prompts != repaint_prompts(120, seed=1)
    parts, wordings = ([getattr(p, name) for p in prompts] for name in ("part", "wording"))
    assert {part: parts.count(part) for part in sorted(set(parts))} == {
        "bottom": 20,
        "box": 40,
        "left": 20,
        "right": 20,
        "top": 20,
    }
    assert {wordings.count(wording) for wording in wordings} == {30}
    pairs = {(p.part, p.wording) for p in prompts}
    assert len(pairs) == 20  # every wording for every part


def test_scenes_and_judge_need_no_torch() -> None:
    code = "import sys, tools.shapes.variant_prompts; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
