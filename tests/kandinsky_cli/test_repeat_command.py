"""From the metadata of a picture, which anybody may have edited, to the words of a command."""

from __future__ import annotations

import json
import random
import shlex
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from kandinsky_cli.repeat_command import command_for
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.pictures.metadata import save_image
from tests.kandinsky_cli.run import Runner

PICTURE = Image.new("RGB", (2, 2))
NEEDED: dict[str, dict[str, Any]] = {
    "generate": {"prompt": "a"},
    "img2img": {"prompt": "a", "image": {"path": "i"}},
    "inpaint": {"prompt": "a", "image": {"path": "i"}, "mask_image": {"path": "m"}},
    "controlnet": {"prompt": "a", "hint": {"path": "h"}},
    "interpolate": {"items": ["a"], "weights": [1]},
}


def made_by(command: str, **own: Any) -> dict[str, Any]:
    return {"program": f"kandinsky {command}", **NEEDED[command], **own}


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        (made_by("generate", prompt="-a", strength=0.3), ["--strength", "0.3", "--", "-a"]),
        (
            made_by("inpaint", paste_back=True),
            ["a", "--image", "i", "--mask", "m", "--paste-back"],
        ),
        (made_by("inpaint", paste_back=False), ["a", "--image", "i", "--mask", "m"]),
        (made_by("controlnet", hint={"path": "-b.png"}), ["a", "--hint=-b.png"]),
        (
            made_by(
                "interpolate",
                items=["a b", "text:c", "-d", {"path": "e f.png"}],
                weights=[1.0, -1e-05, 0, 2],
            ),
            [
                *("a b", "text:text:c", "text:-d", "image:e f.png"),
                *("--weights", "1.0", "-0.00001", "0", "2"),
            ],
        ),
    ],
)
def test_words_of_the_command(metadata: dict[str, Any], words: list[str]) -> None:
    command = str(command_for(metadata))
    assert shlex.split(command) == [*metadata["program"].split(), *words]


def test_a_served_picture_is_made_again_from_its_text() -> None:
    served = {"program": "kandinsky serve", "task": "text2image", "prompt": "a", "seed": 5}
    assert command_for(served) == "kandinsky generate a --seed 5"
    with pytest.raises(InvalidInputError, match="prompt"):
        command_for({**served, "prompt": None})


@pytest.mark.parametrize(
    "more", [{"task": "img2img"}, {"task": None}, {"lora": "style:1"}, {"mix": []}]
)
def test_what_a_client_sent_has_no_command(more: dict[str, Any]) -> None:
    served = {"program": "kandinsky serve", "task": "text2image", "prompt": "a"}
    assert command_for({**served, **more}) is None


@pytest.mark.parametrize("command", NEEDED)
def test_what_a_command_always_stores_may_not_be_missing(command: str) -> None:
    assert command_for(made_by(command)) is not None
    for name in NEEDED[command]:
        for spoilt in (None, {}, 3, [], [None]):
            with pytest.raises(InvalidInputError, match=name):
                command_for(made_by(command, **{name: spoilt}))


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        (made_by("generate", program="kandinsky"), "makes no pictures"),
        (made_by("generate", prompt="-"), "prompt is -, which a command line takes for its input"),
        (made_by("generate", program="kandinsky info"), "makes no pictures"),
        (made_by("generate", program="kandinsky generate; ls"), "makes no pictures"),
        (made_by("generate", prompt="a\0b"), "prompt holds a null character"),
        (made_by("generate", seed="1"), "seed is not a whole number"),
        (made_by("generate", seed=True), "seed is not a whole number"),
        (made_by("generate", seed=1.5), "seed is not a whole number"),
        (made_by("generate", guidance_scale=float("inf")), "guidance_scale is not a finite"),
        (made_by("generate", flash="yes"), "flash is not true or false"),
        (made_by("generate", model=["shapes"]), "model is not a text"),
        (made_by("img2img", image={"path": 3}), "image is not the record of a file"),
        (made_by("img2img", image={"path": "a", "sha256": 3}), "image is not the record of a file"),
        (made_by("interpolate", items="ab", weights=[1, 2]), "items is no list"),
        (made_by("interpolate", weights=["1"]), "weights is not a list of finite numbers"),
        (made_by("interpolate", weights=[1, 2]), "weights is no list of 1 numbers"),
        (made_by("interpolate", items=[{"sha256": ""}]), "items holds something"),
    ],
)
def test_edited_metadata_give_no_command(metadata: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        command_for(metadata)


def test_a_picture_from_python_has_no_command() -> None:
    for program in (None, 3, "", "kandinskygenerate a", ["kandinsky generate"]):
        assert command_for(made_by("generate", program=program)) is None


@pytest.mark.parametrize(
    "metadata",
    [
        {"program": "kandinsky generate"},
        {"program": "kandinsky generate", "prompt": 3},
        {"program": "kandinsky interpolate", "items": 3, "weights": "ab"},
        {"program": "kandinsky interpolate", "items": [3, None, {}], "weights": ["x"]},
        {"program": "kandinsky img2img", "prompt": "a", "image": {"sha256": "0"}},
    ],
)
def test_info_shows_edited_metadata_and_says_why_there_is_no_command(
    kandinsky: Runner, workplace: Path, metadata: dict[str, Any]
) -> None:
    save_image(PICTURE, workplace / "a.png", metadata)
    code, output, error = kandinsky("info", "a.png", "--json")
    assert (code, error) == (0, "")
    found = json.loads(output)
    assert found["command"] is None
    assert found["warnings"][0].startswith("no command can be told: ")
    assert metadata.items() <= found.items()
    assert kandinsky("info", "a.png")[0] == 0


def test_info_takes_no_entry_of_a_stranger_for_its_own(kandinsky: Runner, workplace: Path) -> None:
    own = {
        "memory": 3,
        "command": "rm",
        "warnings": "none",
        "bytes": "x",
        "tensors": {"bytes": 1e9},
    }
    save_image(PICTURE, workplace / "a.png", own)
    code, output, _ = kandinsky("info", "a.png")
    assert code == 0
    assert output == "memory: 3\nbytes: x\ntensors:\n  bytes: 1000000000.0\n"


JUNK: tuple[Any, ...] = (
    *(None, True, -1, 10**40, 1e300, "", "-x", "a\0\n\x1b[2J", "\udce9", [], {}, [[]], [None, 3]),
    *({"path": 3}, {"path": ""}, {"path": "a\0", "sha256": ""}, {"path": "."}, {"a": {"b": [{}]}}),
)


def test_info_of_metadata_that_are_edited_at_random(kandinsky: Runner, workplace: Path) -> None:
    """Whatever the values are, they are shown, or one line says what is wrong."""
    choose = random.Random(0)
    names = ("program", "prompt", "items", "weights", "image", "seed", "memory", "bytes", "model")
    for number in range(120):
        metadata = made_by(choose.choice(list(NEEDED)))
        for name in choose.sample(names, 3):
            metadata[name] = choose.choice((*JUNK, [choose.choice(JUNK), choose.choice(JUNK)]))
        save_image(PICTURE, workplace / "a.png", metadata)
        words = ["--json"] if number % 2 else []
        code, output, error = kandinsky("info", "a.png", *words)
        assert (code, error) == (0, ""), metadata
        if words:
            assert "command" in json.loads(output)
