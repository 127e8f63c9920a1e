"""`kandinsky upscale`: larger pictures, and what their files say."""

from __future__ import annotations

import argparse
import json
import shlex
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from kandinsky_cli.commands import upscale
from kandinsky_cli.upscaling import Upscaling
from kandinsky_core.checkpoints.hub import EMBEDDED
from kandinsky_core.errors import DeviceMemoryError, InvalidInputError
from kandinsky_core.pictures.decoding import decode
from kandinsky_core.pictures.metadata import read_metadata, save_image
from kandinsky_core.pipelines.super_resolution.pipeline import KandinskySuperResPipeline
from kandinsky_core.pipelines.super_resolution.room import require_room_by_size
from tests.kandinsky_cli.run import Runner
from tests.support.backends import needs
from tests.support.upscaler_folder import write_upscaler

FACTS = {"program": "kandinsky generate", "prompt": "a red circle", "seed": 7}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_upscaler(tmp_path / "upscaler")


def draw(path: Path, size: tuple[int, int] = (9, 7), mode: str = "RGB") -> Path:
    rng = np.random.default_rng(1)
    colours = rng.integers(0, 256, (size[1], size[0], len(mode)), np.uint8)
    save_image(Image.fromarray(colours, mode), path, FACTS)
    return path


def pixels(path: str) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.asarray(image)


@needs("jax")
def test_pictures_of_several_sizes_and_the_command_that_remakes_one(
    kandinsky: Runner, workplace: Path, model: Path
) -> None:
    draw(workplace / "a.png")
    draw(workplace / "b.png", (30, 12), "RGBA")
    words = ("upscale", "a.png", "b.png", "--model", model, "--steps", 2)
    code, said, error = kandinsky(*words, "--window-size", 32, "--window-stride", 24)
    assert (code, error) == (0, "")
    assert [line.split("  ")[0] for line in said.splitlines()] == ["a-x4.png", "b-x4.png"]
    assert pixels("a-x4.png").shape == (28, 36, 3)
    assert pixels("b-x4.png").shape == (48, 120, 4)
    found = read_metadata("a-x4.png")
    assert found["original"] == FACTS
    assert (found["program"], found["scale"], found["seed"]) == ("kandinsky upscale", 4, 0)
    code, said, _ = kandinsky("info", "b-x4.png", "--json")
    command = shlex.split(json.loads(said)["command"])
    assert code == 0
    assert command[:3] == ["kandinsky", "upscale", "b.png"]
    assert kandinsky(*command[1:], "--output", "again.png")[0] == 0
    np.testing.assert_array_equal(pixels("again.png"), pixels("b-x4.png"))


@needs("jax")
def test_what_was_compiled_before_the_first_picture_serves_all(model: Path) -> None:
    upscaler = KandinskySuperResPipeline.from_pretrained(model, backend="jax")
    upscaler.set_progress_bar_config(disable=True)
    made = upscaler.compile(batch_sizes=(1, 2))
    assert [entry.shape for entry in made if entry.program == "SuperResUNet step"] == [
        "(1, 64, 64, 3)",
        "(2, 64, 64, 3)",
    ]
    for size, count in (((16, 16), 1), ((17, 40), 1), ((20, 33), 2)):
        upscaler(np.zeros((*size, 3)), num_inference_steps=2, view_batch_size=count)
    assert len(upscaler.unet.compilations) == len(made)
    with pytest.raises(InvalidInputError, match="guidance: a KandinskySuperResPipeline has none"):
        upscaler.compile(guidance=True)


@needs("jax")
def test_pictures_are_enlarged_as_they_are_made(
    kandinsky: Runner, model: Path, shallow: Path
) -> None:
    """What `info` prints makes the large picture again."""
    steps = ("--steps", 2, "--prior-steps", 2, "--model", shallow)
    words = ("generate", "a red circle", "--seed", 3, *steps)
    large = ("--upscale", 4, "--upscaler", model, "--output", "a.png")
    code, said, error = kandinsky(*words, *large)
    assert (code, error) == (0, "")
    assert "256x256" in said
    code, said, _ = kandinsky("info", "a.png", "--json")
    command = shlex.split(json.loads(said)["command"])
    assert command[:3] == ["kandinsky", "generate", "a red circle"]
    assert kandinsky(*command[1:], "--output", "again.png")[0] == 0
    np.testing.assert_array_equal(pixels("again.png"), pixels("a.png"))


@pytest.mark.parametrize(
    ("model", "upscaler"), [("shapes", "shapes"), ("a/b", "ai-forever/KandiSuperRes")]
)
def test_the_usual_upscaler_of_a_model(model: str, upscaler: str) -> None:
    options = argparse.Namespace(model=model, upscale=4, upscaler=None)
    assert Upscaling.choose(options) == Upscaling(4, upscaler)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--upscale", "3"), "--upscale 3: give 2 or 4"),
        (("--upscaler", "x/y"), "without --upscale"),
    ],
)
def test_wrong_options_of_making_pictures(
    kandinsky: Runner, words: tuple[str, ...], said: str
) -> None:
    code, _, error = kandinsky("generate", "a", *words, "--model", "nowhere/nothing")
    assert code == 2
    assert said in error


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nothere.png",), "IMAGE: image 'nothere.png' cannot be read"),
        (("a.png", "--scale", "3"), "--scale 3: give 2 or 4"),
        (("a.png", "--steps", "0"), "--steps=0"),
        (("a.png", "a.png", "--output", "b.png"), "2 pictures need a folder"),
        (("a.png", "./a.png"), "two pictures would become a-x4.png"),
        (("a.png", "--output", "a.png"), "there is such a file"),
        (("a.png", "--quality", "50"), "--quality"),
        (("a.png", "--output", "a.gif"), "pictures are written as"),
        (("a.png", "--dtype", "int8"), "dtype"),
    ],
)
def test_mistakes_are_told_before_the_model_is_loaded(
    kandinsky: Runner, workplace: Path, words: tuple[str, ...], said: str
) -> None:
    draw(workplace / "a.png")
    code, output, error = kandinsky("upscale", *words, "--model", "nowhere/nothing")
    assert (code, output) == (2, "")
    assert said in error
    assert error.count("\n") == 1


def test_the_name_of_a_file_says_the_models_scale(
    kandinsky: Runner, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without --scale, the model knows it."""
    draw(workplace / "a.png")
    facts = {"upscaled": [{"scale": 2, "backend": "none", "device": "none"}]}
    made = SimpleNamespace(images=[Image.new("RGB", (18, 14))], metadata=[facts])
    model = MagicMock(return_value=made)
    model.unet.config.scale = 2
    monkeypatch.setattr(upscale, "load", lambda _: model)
    assert kandinsky("upscale", "a.png", "--quiet") == (0, "a-x2.png\n", "")
    assert kandinsky("upscale", "a.png")[2].count("a-x2.png: there is such a file") == 1


def test_a_model_of_another_kind_or_scale_is_named(kandinsky: Runner, workplace: Path) -> None:
    draw(workplace / "a.png")
    code, _, error = kandinsky("upscale", "a.png", "--model", EMBEDDED["shapes"] / "prior")
    assert code == 2
    assert "KandinskyV22PriorPipeline without unet" in error
    code, _, error = kandinsky("upscale", "a.png", "--scale", 2)
    assert code == 2
    assert "shapes enlarges 4 times" in error


def test_a_small_file_that_declares_a_huge_picture(
    kandinsky: Runner, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is refused by its size: no pixel is decoded, and no model is loaded."""
    Image.new("1", (13_000, 13_000)).save(workplace / "bomb.png")
    assert (workplace / "bomb.png").stat().st_size < 60_000
    monkeypatch.setattr("kandinsky_core.memory.call_size.host_size", lambda: 8 << 30)
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", MagicMock(side_effect=AssertionError))
    monkeypatch.setattr(upscale, "load", MagicMock(side_effect=AssertionError))
    code, _, error = kandinsky("upscale", "bomb.png")
    assert code == 2
    assert "IMAGE bomb.png: a picture of 26000 x 26000 pixels: the pixels alone take" in error
    lazy = decode((workplace / "bomb.png").read_bytes())
    for pictures in (lazy, [lazy]):
        with pytest.raises(DeviceMemoryError, match="52000 x 52000 pixels"):
            require_room_by_size(pictures, 4)
