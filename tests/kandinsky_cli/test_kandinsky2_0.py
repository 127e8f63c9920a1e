"""The picture commands with Kandinsky 2.0, which has no prior and another autoencoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from kandinsky_cli.commands import generate, img2img, inpaint
from kandinsky_core import read_metadata
from tests.kandinsky_cli.run import Runner
from tests.support.fakes_2_0 import pipeline


@pytest.mark.parametrize(
    ("command", "task", "words"),
    [
        (generate, "decoder", ()),
        (img2img, "img2img", ("--image", "in.png", "--strength", "0.5")),
        (inpaint, "inpaint", ("--image", "in.png", "--mask", "mask.png")),
    ],
)
def test_commands(
    kandinsky: Runner,
    workplace: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: Any,
    task: str,
    words: tuple[str, ...],
) -> None:
    made: list[Any] = []
    monkeypatch.setattr(command, "load", lambda _: made.append(pipeline(task)) or made[0])
    Image.new("RGB", (40, 30), "red").save("in.png")
    Image.new("L", (40, 30), "white").save("mask.png")
    name = command.__name__.rpartition(".")[2]
    common = ("--steps", "2", "--seed", "3", "--negative-prompt", "плохо", "--output", "a.png")
    watch = ("--preview-every", "1", "--preview-file", "p.png", "--scheduler", "kandinsky2.0")
    code, _, error = kandinsky(name, "красный кот", *words, *common, *watch)
    assert (code, error) == (0, "")
    facts = read_metadata("a.png")
    assert (facts["prompt"], facts["negative_prompt"]) == ("красный кот", "плохо")
    assert facts["scheduler"] == "Kandinsky20Scheduler"
    assert Path("p.png").is_file()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("interpolate", "a", "b", "--weights", "1", "1"), "K has no prior, which mixes"),
        (("controlnet", "a", "--hint", "in.png"), "for Kandinsky20Pipeline, and holds no contr"),
        (("upscale", "in.png"), "K is a model for Kandinsky20Pipeline, and holds no upscaler"),
    ],
)
def test_what_it_cannot_do(
    kandinsky: Runner, workplace: Path, words: tuple[str, ...], said: str
) -> None:
    """This much of the authors' folder shows whose it is."""
    (workplace / "K/text_encoder1").mkdir(parents=True)
    (workplace / "K/text_encoder1/config.json").write_text("{}")
    Image.new("RGB", (40, 30), "red").save("in.png")
    code, _, error = kandinsky(*words, "--model", "K")
    assert (code, error.count("\n")) == (2, 1)
    assert said in error
