"""`kandinsky controlnet` with Kandinsky 3: its options reach the pipeline, and its model loads."""

from __future__ import annotations

import argparse
import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from kandinsky_cli.commands import controlnet
from kandinsky_cli.repeat_command import command_for
from kandinsky_core import (
    DiffusionPipeline,
    Kandinsky3ControlNetImg2ImgPipeline,
    Kandinsky3ControlNetPipeline,
    read_metadata,
)
from kandinsky_core.checkpoints.checkpoint import Component
from kandinsky_core.errors import InvalidInputError
from tests.kandinsky_cli.run import Runner
from tests.kandinsky_core.pipelines.test_ip_adapter import adapted
from tests.kandinsky_core.pipelines.test_kandinsky3_controlnet import controlled
from tests.support.fake_backend import FakeBackend
from tests.support.fakes import FakeControlNet, FakeNetwork
from tests.support.kandinsky3_folder import write_kandinsky3
from tests.support.kandinsky3_fork_folder import write_fork

SMALL = ["--height", "16", "--width", "16", "--steps", "2", "--seed", "0", "--quiet"]
OPTIONS = shlex.split(
    "--control-scale 0.5 --control-start 0.25 --control-end 0.75 --guidance-rescale 0.7 "
    "--hint-range -1 1 --hint-order BGR"
)


@pytest.fixture
def hint(workplace: Path) -> str:
    Image.new("RGB", (8, 8), (0, 0, 255)).save(workplace / "hint.png")
    return "hint.png"


def parsed(*words: object) -> Any:
    parser = argparse.ArgumentParser()
    controlnet.add_parser(parser.add_subparsers())
    return parser.parse_args(["controlnet", *map(str, words)])


def test_options_reach_the_pipeline(
    kandinsky: Runner, monkeypatch: pytest.MonkeyPatch, hint: str
) -> None:
    pipe = controlled()
    monkeypatch.setattr(controlnet, "load", lambda options: pipe)
    words = ["controlnet", "a", "--hint", hint, *SMALL, *OPTIONS, "-o", "a.png"]
    code, _, said = kandinsky(*words)
    assert code == 0, said
    told = pipe.unet.told
    assert set(told["control_scale_0"].ravel()) == {0.5}
    assert told["hint"][0, :, 0, 0].tolist() == [1, -1, -1]
    metadata = read_metadata("a.png")
    assert (metadata["guidance_scale"], metadata["guidance_rescale"]) == (7.0, 0.7)
    again = command_for({**metadata, "model": "m"})
    assert again is not None
    assert parsed(*shlex.split(again)[2:]).control_scale == 0.5
    for number, option in enumerate(OPTIONS[:8]):
        assert option in shlex.split(again), number


def test_pictures_beside_a_hint(
    kandinsky: Runner, monkeypatch: pytest.MonkeyPatch, hint: str
) -> None:
    """`--ip-image` reaches the pipeline, and the metadata give the whole command back."""
    branch = FakeControlNet(branch_channels=(8, 16), in_channels=4)
    pipe = adapted(Kandinsky3ControlNetPipeline, controlnet=branch)
    monkeypatch.setattr(controlnet, "load", lambda options: pipe)
    Image.new("RGB", (3, 3), (255, 255, 255)).save("white.png")
    pictures = ["--ip-image", "white.png:0.5", "--ip-image", f"{hint}:0.25", "--ip-scale", "0.75"]
    words = ["controlnet", "a", "--hint", hint, *SMALL, *OPTIONS, *pictures, "-o", "a.png"]
    code, _, said = kandinsky(*words)
    assert code == 0, said
    assert set(pipe.unet.told["image_weight"].tolist()) == {0.75}
    assert "hint" in pipe.unet.told
    code, shown, said = kandinsky("info", "a.png", "--json")
    assert code == 0, said
    again = parsed(*shlex.split(json.loads(shown)["command"])[2:])
    made = parsed(*words[1:])
    for name in ("ip_image", "hint", "image"):  # paths are whole in the metadata
        for one in (again, made):
            given = getattr(one, name)
            listed = given if isinstance(given, list) else [given]
            setattr(one, name, [str(Path(path).name) for path in listed if path])
    different = {name for name in vars(made) if getattr(again, name) != getattr(made, name)}
    assert different <= {"output", "quiet", "guidance_scale", "dtype", "backend", "strength"}
    assert again.ip_scale == 0.75
    assert again.ip_image == ["white.png:0.5", f"{hint}:0.25"]


def test_its_own_model_loads(workplace: Path, hint: str) -> None:
    folder = write_fork(workplace / "fork", "v2")
    options = parsed("a", "--hint", hint, "--model", folder)
    options.backend = FakeBackend()
    with pytest.MonkeyPatch.context() as patch:  # the folder has no text encoder
        patch.setattr(Kandinsky3ControlNetPipeline, "component_names", ("unet", "controlnet"))
        patch.setattr(Kandinsky3ControlNetPipeline, "__init__", keep)
        pipe = controlnet.load(options)
    assert pipe.kept["controlnet"].config.CLASS_NAME == "Kandinsky3ControlNetModel"
    options.image, options.controlnet = "b.png", str(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FakeNetwork, "backend_name", FakeBackend.name)
        patch.setattr(Kandinsky3ControlNetImg2ImgPipeline, "component_names", ("controlnet",))
        patch.setattr(Kandinsky3ControlNetImg2ImgPipeline, "__init__", keep)
        pipe = controlnet.load(options)
    assert pipe.kept["controlnet"].config.CLASS_NAME == "Kandinsky3ControlNetModel"
    options.image, options.mask = None, "m.png"
    with pytest.raises(InvalidInputError, match="--mask: give the picture that it is for"):
        controlnet.load(options)


def keep(self: Any, **components: Any) -> None:
    self.kept = components


def test_other_models_refuse_its_options(kandinsky: Runner, hint: str) -> None:
    code, _, said = kandinsky("controlnet", "a", "--hint", hint, "--control-scale", "1", *SMALL)
    assert code != 0
    assert "--control-scale: shapes is not of Kandinsky 3, leave them out" in said
    code, _, said = kandinsky("controlnet", "a", "--hint", hint, "--ip-image", hint, *SMALL)
    assert code != 0
    assert "--ip-image: shapes is not of Kandinsky 3, leave them out" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--control-scale nan", "controlnet_conditioning_scale=nan: give a finite number"),
        ("--control-start 1 --control-end 0", "the start no later than the end"),
        ("--guidance-rescale 2", "guidance_rescale=2.0: give a number from 0 to 1"),
        ("--hint-range 1 0", "give the values for black and for white"),
        ("--hint-order GRB", "control_image_order='GRB': choose one of RGB, BGR"),
        ("--ip-image hint.png:nan", "--ip-image: weight=nan: give a finite number"),
        ("--controlnet x", "--controlnet: shapes is a KandinskyV22Pipeline, and only Kandinsky 3"),
    ],
)
def test_wrong_values_are_refused_before_anything_is_loaded(
    kandinsky: Runner, monkeypatch: pytest.MonkeyPatch, hint: str, words: str, said: str
) -> None:
    monkeypatch.setattr(DiffusionPipeline, "from_pretrained", None)
    code, _, error = kandinsky("controlnet", "a", "--hint", hint, *SMALL, *words.split())
    assert code == 2
    assert said in error


def test_a_branch_that_does_not_fit_is_refused_by_its_config(workplace: Path, hint: str) -> None:
    """The configs of ready networks count too, so no weight of the UNet is read."""
    options = parsed("a", "--hint", hint, "--model", write_kandinsky3(workplace / "other"))
    options.backend, options.controlnet = FakeBackend(), str(write_fork(workplace / "fork", "v2"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FakeNetwork, "backend_name", FakeBackend.name)
        patch.setattr(Kandinsky3ControlNetPipeline, "component_names", ("unet", "controlnet"))
        patch.setattr(Component, "tensors", None)
        with pytest.raises(InvalidInputError, match="the controlnet does not fit the UNet"):
            controlnet.load(options)


@pytest.mark.parametrize("command", ["generate", "img2img --image hint.png --strength 1"])
def test_commands_without_a_hint_name_the_one_that_takes_it(
    kandinsky: Runner, workplace: Path, hint: str, command: str
) -> None:
    folder = write_fork(workplace / "fork", "v2")
    name, *more = command.split()
    code, _, error = kandinsky(name, "a", *more, "--model", folder, *SMALL)
    assert code == 2
    assert "which needs a hint: give it by `kandinsky controlnet PROMPT --hint PATH`" in error
