"""`--ip-image`: pictures with weights, their record, and what is refused before loading."""

from __future__ import annotations

import shlex
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from kandinsky_cli.commands import generate
from kandinsky_cli.image_prompts import ImagePrompts, require_ip_adapter
from kandinsky_cli.repeat_command import command_for
from kandinsky_core import read_metadata
from kandinsky_core.checkpoints.hub import HubOptions
from kandinsky_core.checkpoints.opened_model import OpenedModel
from kandinsky_core.errors import InvalidInputError
from tests.kandinsky_cli.run import Runner
from tests.kandinsky_core.pipelines.test_ip_adapter import adapted
from tests.support.kandinsky3_folder import write_kandinsky3
from tests.support.kandinsky3_ip_adapter_folder import write_ip_adapter


def choose(*words: str, scale: float | None = None) -> ImagePrompts:
    return ImagePrompts.choose(Namespace(ip_image=list(words) or None, ip_scale=scale))


def test_words(workplace: Path) -> None:
    for name in ("a.png", "b:0.5"):
        Image.new("RGB", (2, 2)).save(workplace / name, format="PNG")
    assert choose() == ImagePrompts((), None, None)
    assert choose("a.png").weights is None
    found = choose("a.png:0.25", "b:0.5:-2", scale=0.5)
    assert [picture.record["path"] for picture in found.pictures] == ["a.png", "b:0.5"]
    assert found.weights == (0.25, -2)
    assert choose("b:0.5").weights is None, "a file of this name is there"
    for words, message in (
        (["a.png", "a.png:1"], "1 of 2 pictures have weights"),
        (["c.png:1"], "c.png"),
        (["a.png:nan"], "--ip-image: weight"),
        ([":1"], "--ip-image"),
    ):
        with pytest.raises(InvalidInputError, match=message):
            choose(*words)
    with pytest.raises(InvalidInputError, match="--ip-scale: give --ip-image too"):
        choose(scale=1.0)


def test_pictures_hold_the_command_that_remakes_them(
    kandinsky: Runner, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe = adapted()
    monkeypatch.setattr(generate, "load", lambda _: pipe)
    for name, shade in (("dark.png", 0), ("light.png", 255)):
        Image.new("RGB", (9, 7), (shade,) * 3).save(workplace / name)
    words = ["--ip-image", "dark.png:0.25", "--ip-image=light.png:0.5", "--ip-scale", "0.75"]
    size = ["--height", "16", "--width", "16", "--steps", "2", "--seed", "1"]
    code, _, error = kandinsky("generate", "ab", *words, *size, "--output", "made.png")
    assert (code, error) == (0, "")
    assert pipe.unet.told["image_embeds"][:, 0].tolist() == [-1, -0.25]
    assert pipe.unet.told["image_weight"].tolist() == [0.75, 0.75]
    again = shlex.split(str(command_for(read_metadata(workplace / "made.png"))))
    joined = " ".join(again)
    assert f"--ip-image={workplace}/dark.png:0.25" in again or "--ip-image=dark.png:0.25" in again
    assert "light.png:0.5" in joined
    assert "--ip-scale 0.75" in joined
    Image.new("RGB", (9, 7)).save(workplace / "light.png")
    _, shown, warned = kandinsky("info", "made.png")
    assert "light.png has changed since the picture was made" in shown + warned
    assert "dark.png has changed" not in shown + warned
    code, _, error = kandinsky("generate", "ab", "--flash", "--ip-image", "dark.png")
    assert code != 0
    assert "Flash takes no pictures" in error


@pytest.mark.parametrize(
    "wrong",
    [
        {"ip_adapter_image": "given", "ip_adapter_weights": [1]},
        {"ip_adapter_image": [{"path": "a"}], "ip_adapter_weights": [1, 2]},
        {"ip_adapter_image": [{"path": "a"}], "ip_adapter_weights": None},
        {"ip_adapter_image": ["a"], "ip_adapter_weights": [1]},
        {"ip_adapter_scale": "1"},
    ],
)
def test_edited_metadata(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError, match="ip_adapter"):
        command_for({"program": "kandinsky generate", "prompt": "a", **wrong})


def test_a_model_without_adapter_is_refused_by_its_config(tmp_path: Path) -> None:
    def opened(folder: Path) -> OpenedModel:
        return OpenedModel.of(folder, "decoder", HubOptions())

    plain, fork = write_kandinsky3(tmp_path / "plain"), write_ip_adapter(tmp_path / "fork")
    asked, silent = Namespace(ip_image=["a"], model="plain"), Namespace(model="plain")
    with pytest.raises(InvalidInputError, match="--ip-image: plain has no IP-Adapter: give --mod"):
        require_ip_adapter(asked, opened(plain), two_halves=False)
    require_ip_adapter(silent, opened(plain), two_halves=False)
    require_ip_adapter(asked, opened(plain), two_halves=True)
    require_ip_adapter(asked, opened(fork), two_halves=False)
