"""The commands that start from pictures: what they make, record, print again, and refuse."""

from __future__ import annotations

import hashlib
import json
import shlex
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from kandinsky_cli.repeat_command import command_for
from kandinsky_core import (
    Generator,
    KandinskyV22ControlnetImg2ImgPipeline,
    KandinskyV22Pipeline,
    KandinskyV22PriorEmb2EmbPipeline,
    KandinskyV22PriorPipeline,
    load_image,
    read_metadata,
    save_image,
)
from kandinsky_core.pictures.metadata import file_record
from tests.kandinsky_cli.run import Runner
from tests.kandinsky_cli.test_bad_input import said

pytest.importorskip("jax")

pytestmark = pytest.mark.usefixtures("one_backend")

COMMANDS = ("img2img", "inpaint", "interpolate", "controlnet")
FEW = ("--steps", "2", "--prior-steps", "2")
SIZE = 64


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder with a picture, a mask of its left half, an all-black one, a hint, and a text."""
    folder = tmp_path / "my pictures"
    folder.mkdir()
    colours = np.zeros((SIZE, SIZE, 3), np.uint8)
    colours[:, :, 2], colours[20:44, 20:44] = 200, (220, 30, 30)
    Image.fromarray(colours).save(folder / "image.png")
    black = np.zeros((SIZE, SIZE), np.uint8)
    Image.fromarray(black).save(folder / "black.png")
    left = black.copy()
    left[:, : SIZE // 2] = 255
    Image.fromarray(left).save(folder / "mask.png")
    depth = np.zeros((2 * SIZE, 2 * SIZE), np.uint16)  # 16 bits, as depth maps often have
    depth[40:88, 40:88] = 65535
    Image.fromarray(depth).save(folder / "hint.png")
    (folder / "text.png").write_text("no picture")
    return folder


def words_for(command: str, folder: Path) -> list[str]:
    image, mask, hint = (str(folder / f"{name}.png") for name in ("image", "mask", "hint"))
    return {
        "img2img": ["a green circle", "--image", image, "--strength", "0.5"],
        "inpaint": ["a green square", "--image", image, "--mask", mask, "--paste-back"],
        "interpolate": ["text:image: a star", f"image:{image}", "--weights", "0.75", "0.25"],
        "controlnet": ["a green circle", "--hint", hint],
    }[command]


def pixels(path: Path) -> npt.NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.asarray(image)


def record(path: Path) -> dict[str, str]:
    return {"path": str(path), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


@pytest.mark.parametrize(
    "command",
    ["img2img", *(pytest.param(command, marks=pytest.mark.slow) for command in COMMANDS[1:])],
)
def test_picture_holds_the_command_that_remakes_it(
    kandinsky: Runner, workplace: Path, pictures: Path, shallow: Path, command: str
) -> None:
    words = [*words_for(command, pictures), *FEW, "--seed", "7", "--scheduler", "euler-ancestral"]
    words += ["--model", str(shallow)]
    code, output, error = kandinsky(command, *words, "--output", "a.png")
    assert (code, error) == (0, "")
    assert output.startswith("a.png  seed 7, 64x64, jax on ")
    metadata = read_metadata(workplace / "a.png")
    image, mask = record(pictures / "image.png"), record(pictures / "mask.png")
    prompt = {"prompt": "a green circle", "negative_prompt": None}
    own: dict[str, Any] = {
        "img2img": {**prompt, "image": image, "strength": 0.5},
        "inpaint": {"prompt": "a green square", "image": image, "mask_image": mask},
        "interpolate": {"items": ["image: a star", image], "weights": [0.75, 0.25]},
        "controlnet": {**prompt, "hint": record(pictures / "hint.png")},
    }[command]
    shared = {
        "program": f"kandinsky {command}",
        "seed": 7,
        "generator_was_fresh": True,
        "scheduler": "EulerAncestralDiscreteScheduler",
        "scheduler_name": "euler-ancestral",
        "num_inference_steps": 2,
        "prior_num_inference_steps": 2,
        "prior_guidance_scale": 4.0,
    }
    assert {name: metadata[name] for name in own | shared} == own | shared

    code, output, error = kandinsky("info", "a.png", "--json")
    assert (code, error) == (0, "")
    shown = json.loads(output)
    assert "warnings" not in shown
    assert {name: shown[name] for name in metadata} == metadata
    program, *again = shlex.split(shown["command"])
    assert (program, again[0]) == ("kandinsky", command)
    assert kandinsky(*again)[0] == 0
    np.testing.assert_array_equal(pixels(workplace / "kandinsky-7.png"), pixels(Path("a.png")))
    assert read_metadata(workplace / "kandinsky-7.png") == metadata
    if command == "inpaint":
        kept = np.s_[:, SIZE // 2 :]
        original = pixels(pictures / "image.png")
        np.testing.assert_array_equal(pixels(Path("a.png"))[kept], original[kept])
        assert np.abs(pixels(Path("a.png")) - original.astype(int)).max() > 20


def loaded(kind: type[Any], model: Path, **options: Any) -> Any:
    pipeline = kind.from_pretrained(model, **options)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.mark.slow
def test_interpolation_is_that_of_the_pipelines(
    kandinsky: Runner, workplace: Path, pictures: Path, shallow: Path
) -> None:
    words = [*words_for("interpolate", pictures), *FEW, "--negative-prompt", "a red square"]
    words += ["--model", str(shallow)]
    assert kandinsky("interpolate", *words, "--seed", 3, 4)[0] == 0
    generators = [Generator(3), Generator(4)]
    embeds = loaded(KandinskyV22PriorPipeline, shallow).interpolate(
        ["image: a star", load_image(pictures / "image.png")],
        [0.75, 0.25],
        num_images_per_prompt=2,
        num_inference_steps=2,
        generator=generators,
        negative_prior_prompt="a red square",
    )
    decoder = loaded(KandinskyV22Pipeline, shallow)
    images = decoder(**embeds, num_inference_steps=2, generator=generators).images
    for seed, image in zip((3, 4), images, strict=True):
        path = workplace / f"kandinsky-{seed}.png"
        np.testing.assert_array_equal(pixels(path), np.asarray(image))
        assert read_metadata(path)["seed"] == seed


@pytest.mark.slow
def test_controlnet_with_a_picture_is_the_sample_of_the_model_card(
    kandinsky: Runner, workplace: Path, pictures: Path, shallow: Path
) -> None:
    words = [*words_for("controlnet", pictures), "--model", str(shallow)]
    words += ["--image", str(pictures / "image.png"), *FEW]
    words += ["--negative-prompt", "a red square", "--prior-strength", "0.5", "--seed", "43"]
    assert kandinsky("controlnet", *words, "--output", "a.png")[0] == 0
    generator = Generator().manual_seed(43)
    image = load_image(pictures / "image.png")
    prior = loaded(KandinskyV22PriorEmb2EmbPipeline, shallow)
    shared = {"image": image, "num_inference_steps": 2, "generator": [generator]}
    positive = prior("a green circle", strength=0.5, **shared)
    negative = prior("a red square", strength=1, **shared)
    decoder = loaded(KandinskyV22ControlnetImg2ImgPipeline, shallow)
    expected = decoder(
        image=image,
        strength=0.5,
        image_embeds=positive.image_embeds,
        negative_image_embeds=negative.image_embeds,
        hint=load_image(pictures / "hint.png"),
        num_inference_steps=2,
        generator=[generator],
    ).images[0]
    np.testing.assert_array_equal(pixels(workplace / "a.png"), np.asarray(expected))
    metadata = read_metadata(workplace / "a.png")
    strengths = {"strength": 0.5, "prior_strength": 0.5}
    assert {name: metadata[name] for name in strengths} == strengths
    assert "--prior-strength 0.5" in str(command_for(metadata))


def test_info_warns_of_inputs_that_changed(
    kandinsky: Runner, workplace: Path, pictures: Path
) -> None:
    image = pictures / "image.png"
    metadata = {
        "program": "kandinsky interpolate",
        "items": ["a", file_record(str(image)), file_record("https://example.org/b.png")],
        "weights": [1, 2, 3],
    }
    save_image(Image.new("RGB", (2, 2)), workplace / "a.png", metadata)
    url = "https://example.org/b.png may have changed since: what a URL gives is not recorded"

    def warnings() -> list[str]:
        return list(json.loads(kandinsky("info", "a.png", "--json")[1])["warnings"])

    assert warnings() == [url]
    image.write_bytes(image.read_bytes() + b"x")
    assert warnings() == [f"{image} has changed since the picture was made", url]
    image.unlink()
    assert warnings() == [f"{image} cannot be read here: No such file or directory", url]
    output = kandinsky("info", "a.png")[1]
    assert f"items: a, image:{image}, image:https://example.org/b.png\n" in output
    assert "\nwarnings: " in output


@pytest.fixture
def unloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail when any weights are about to be loaded."""

    def load(*_: Any, **__: Any) -> Any:
        raise AssertionError("the model was loaded before the mistake was seen")

    for command in ("generate", *COMMANDS):
        monkeypatch.setattr(import_module(f"kandinsky_cli.commands.{command}"), "load", load)


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ("img2img a", "the following arguments are required: --image"),
        ("img2img --image image.png", "the following arguments are required: PROMPT"),
        ("img2img a --image no.png", "--image: image 'no.png' cannot be read: "),
        ("img2img a --image text.png", "--image: image 'text.png' cannot be read: "),
        ("img2img a --image .", "--image: image '.' cannot be read: "),
        ("img2img a --image image.png --strength 0", "strength=0.0: give a number above 0"),
        ("img2img a --image image.png --strength 1.1", "strength=1.1: give a number above 0"),
        ("img2img a --image image.png --strength nan", "strength=nan: give a finite number"),
        ("img2img a --image image.png --strength .3 --steps 3", "leaves none to take: give at"),
        ("img2img a --image image.png --steps 0", "--steps=0: give a whole number"),
        ("inpaint a --image image.png", "the following arguments are required: --mask"),
        ("inpaint a --image no.png --mask mask.png", "--image: image 'no.png' cannot be read"),
        ("inpaint a --image image.png --mask no.png", "--mask: image 'no.png' cannot be read"),
        ("inpaint a --image image.png --mask black.png", "--mask black.png has no white pixel"),
        ("interpolate a b", "the following arguments are required: --weights"),
        ("interpolate --weights 1", "the following arguments are required: ITEM"),
        ("interpolate a b --weights 1", "--weights has 1 weights for 2 items: give one for each"),
        ("interpolate a b --weights 1 nan", "--weights=nan: give a finite number"),
        ("interpolate a --weights x", "argument --weights: invalid float value: 'x'"),
        ("interpolate image:no.png --weights 1", "as a text it is text:image:no.png"),
        ("interpolate caf\udce9 --weights 1", "is no valid Unicode text"),
        ("controlnet a", "the following arguments are required: --hint"),
        ("controlnet a --hint no.png", "--hint: image 'no.png' cannot be read: "),
        ("controlnet a --hint hint.png --image no.png", "--image: image 'no.png' cannot be read"),
        ("controlnet a --hint hint.png --image image.png --strength 2", "strength=2.0: give a"),
        ("controlnet a --hint hint.png --image image.png --prior-strength 0", "strength=0.0: "),
        ("generate a --scheduler best", "scheduler='best': give one of ddim, ddpm"),
        ("img2img a --image image.png --dtype int8", "dtype 'int8' is not supported"),
        ("controlnet a --hint hint.png --seed 1 2 --num-images 3", "--seed has 2 seeds"),
    ],
)
@pytest.mark.usefixtures("unloaded")
def test_bad_input_is_refused_before_loading(
    kandinsky: Runner,
    workplace: Path,
    pictures: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: str,
    part: str,
) -> None:
    monkeypatch.chdir(pictures)
    before = sorted(pictures.iterdir())
    assert part in said(kandinsky(*words.split()), workplace)
    assert sorted(pictures.iterdir()) == before


@pytest.mark.parametrize(
    ("command", "part"),
    [
        ("inpaint", "KandinskyV22Pipeline, which makes no pictures by inpainting"),
        ("controlnet", "needs the UNet of KandinskyV22ControlnetPipeline"),
    ],
)
def test_model_of_another_task(
    kandinsky: Runner, workplace: Path, pictures: Path, model: Path, command: str, part: str
) -> None:
    words = words_for(command, pictures)
    assert part in said(kandinsky(command, *words, "--model", model / "decoder"), workplace)


def test_a_mask_that_is_too_fine_is_refused_before_the_prior_runs(
    kandinsky: Runner, workplace: Path, pictures: Path
) -> None:
    mask = np.zeros((SIZE, SIZE), np.uint8)
    mask[1, 1] = 255
    Image.fromarray(mask).save(pictures / "mask.png")
    line = said(kandinsky("inpaint", *words_for("inpaint", pictures)), workplace)
    assert "it is too fine" in line
