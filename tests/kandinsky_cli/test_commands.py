"""The commands do what they say: pictures, their metadata, and the command that remakes them."""

from __future__ import annotations

import importlib.metadata
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from kandinsky_cli.commands import generate
from kandinsky_cli.main import main
from kandinsky_cli.repeat_command import command_for
from kandinsky_core import (
    AutoPipelineForText2Image,
    KandinskyV22CombinedPipeline,
    __version__,
    read_metadata,
)
from tests.kandinsky_cli.run import Runner
from tests.support.fakes import combined_pipeline

pytest.importorskip("jax")

pytestmark = pytest.mark.usefixtures("one_backend")

FEW = ("--steps", "2", "--prior-steps", "2")
HEAVY = (
    *("PIL", "flax", "huggingface_hub", "jax", "mindspore", "numpy", "safetensors", "tokenizers"),
    *("torch", "transformers"),
)


@pytest.fixture
def fake_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures of 16 pixels at once, for what does not depend on their content."""
    monkeypatch.setattr(generate, "load", lambda _: combined_pipeline())


def pixels(path: Path) -> npt.NDArray[np.uint8]:
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.slow
def test_picture_holds_the_command_that_remakes_it(kandinsky: Runner, workplace: Path) -> None:
    prompt, negative = "-a réd circle's “edge” 😀\n\u0431\u0435\u0437", "- low quality"
    size = ("--height", "50", "--width", "63")  # computed as 64 x 64, as in the other tests
    words = [f"--negative-prompt={negative}", "--seed", "7", *size, *FEW, "--output", "a.png"]
    words += ["--movq-tile-size", "32"]
    code, output, error = kandinsky("generate", *words, "--guidance-scale", 3, "--", prompt)
    assert (code, error) == (0, "")
    assert re.fullmatch(r"a\.png  seed 7, 63x50, jax on \S+, [\d.]+ s\n", output)
    picture = pixels(workplace / "a.png")
    assert picture.shape == (50, 63, 3)
    metadata = read_metadata(workplace / "a.png")
    expected = {
        "prompt": prompt,
        "negative_prompt": negative,
        "seed": 7,
        "height": 50,
        "width": 63,
        "num_inference_steps": 2,
        "prior_num_inference_steps": 2,
        "guidance_scale": 3.0,
        "prior_guidance_scale": 4.0,
        "movq_tile_size": 32,
        "model": "shapes",
        "backend": "jax",
        "dtype": "float32",
    }
    assert {name: metadata[name] for name in expected} == expected
    assert metadata["versions"]["kandinsky-anywhere"] == __version__

    code, output, error = kandinsky("info", "a.png", "--json")
    assert (code, error) == (0, "")
    shown = json.loads(output)
    assert {name: shown[name] for name in metadata} == metadata
    program, *words = shlex.split(shown["command"])
    assert program == "kandinsky"
    assert kandinsky(*words)[0] == 0
    np.testing.assert_array_equal(pixels(workplace / "kandinsky-7.png"), picture)
    assert read_metadata(workplace / "kandinsky-7.png") == metadata
    code, output, _ = kandinsky("info", "a.png")
    assert code == 0
    assert r"prompt: -a réd circle's “edge” 😀\n" "\u0431\u0435\u0437" in output
    assert "height: 50" in output


@pytest.mark.slow(seconds=5)
def test_several_seeds_as_json(kandinsky: Runner, workplace: Path, shallow: Path) -> None:
    words = ["a blue star", "--seed", 3, 2**40, *FEW, "--output", "new/folder", "--json"]
    words += ["--model", shallow]
    code, output, error = kandinsky("generate", *words)
    assert (code, error) == (0, "")
    result = json.loads(output)
    assert [picture["seed"] for picture in result["images"]] == [3, 2**40]
    assert set(result["seconds"]) == {"load", "generate"}
    for picture in result["images"]:
        path = workplace / picture.pop("path")
        assert path.parent == workplace / "new" / "folder"
        assert read_metadata(path) == picture
    first, second = result["images"]
    assert {**first, "seed": 2**40} == second
    alone = shlex.split(str(command_for(first)))[1:]
    assert kandinsky(*alone)[0] == 0
    together = pixels(workplace / "new" / "folder" / "kandinsky-3.png").astype(int)
    assert np.abs(pixels(workplace / "kandinsky-3.png") - together).max() <= 1


def test_picture_of_a_batch_equals_the_picture_alone() -> None:
    pipe: Any = AutoPipelineForText2Image.from_pretrained("shapes")
    pipe.set_progress_bar_config(disable=True)
    options = {
        "num_inference_steps": 2,
        "prior_num_inference_steps": 2,
        "output_type": "np",
    }
    seeds = [11, 2**33 + 1]
    batch = pipe("a red circle", num_images_per_prompt=2, seed=seeds, **options).images
    assert np.abs(batch[0] - batch[1]).max() > 0.01
    for index in (0, 1):
        alone = pipe("a red circle", seed=seeds[index], **options).images[0]
        assert np.abs(batch[index] - alone).max() <= 1e-5


@pytest.mark.usefixtures("fake_model")
def test_unnamed_files_are_never_overwritten(kandinsky: Runner, workplace: Path) -> None:
    for expected in (
        ["kandinsky-5.png"],
        ["kandinsky-5-2.png", "kandinsky-5.png"],
        ["kandinsky-5-2.png", "kandinsky-5-3.png", "kandinsky-5.png"],
    ):
        assert kandinsky("generate", "a", "--seed", 5, *FEW)[0] == 0
        assert names(workplace) == expected
    assert kandinsky("generate", "a", "--seed", 5, 5, *FEW, "--output", "two")[0] == 0
    assert names(workplace / "two") == ["kandinsky-5-2.png", "kandinsky-5.png"]


@pytest.mark.usefixtures("fake_model")
def test_named_file_is_overwritten_if_asked_and_what_is_derived_from_it_never(
    kandinsky: Runner, workplace: Path
) -> None:
    (workplace / "a.png").write_bytes(b"old")
    (workplace / "a-1.png").write_bytes(b"old")
    words = ("a", "--output", "a.png", "--overwrite", *FEW)
    assert kandinsky("generate", *words, "--seed", 9)[0] == 0
    assert read_metadata(workplace / "a.png")["seed"] == 9
    assert kandinsky("generate", *words, "--seed", 1, 2)[0] == 0
    assert names(workplace) == ["a-1-2.png", "a-1.png", "a-2.png", "a.png"]
    assert (workplace / "a-1.png").read_bytes() == b"old"
    assert read_metadata(workplace / "a-1-2.png")["seed"] == 1


@pytest.mark.usefixtures("fake_model")
@pytest.mark.parametrize(
    ("words", "seeds"),
    [
        (["--num-images", "3", "--seed", "4"], [4, 5, 6]),
        (["--num-images", "2", "--seed", "4", "9"], [4, 9]),
        (["--seed", "-1"], [2**64 - 1]),
        (["--seed=0"], [0]),
    ],
)
def test_seeds_of_pictures(
    kandinsky: Runner, workplace: Path, words: list[str], seeds: list[int]
) -> None:
    code, output, _ = kandinsky("generate", "a", *words, *FEW, "--json")
    assert code == 0
    assert [picture["seed"] for picture in json.loads(output)["images"]] == seeds


@pytest.mark.parametrize("words", [[], ["--offload"]])
def test_offloading_is_asked_for(
    kandinsky: Runner, workplace: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    given: dict[str, Any] = {}

    def from_pretrained(model: str, **options: Any) -> Any:
        given.update(options)
        return combined_pipeline()

    monkeypatch.setattr(KandinskyV22CombinedPipeline, "from_pretrained", from_pretrained)
    assert kandinsky("generate", "a", *FEW, *words)[0] == 0
    assert given.get("offload", False) is bool(words)


@pytest.mark.usefixtures("fake_model")
def test_seed_is_random_and_told(kandinsky: Runner, workplace: Path) -> None:
    for _ in range(2):
        assert kandinsky("generate", "a", *FEW, "--num-images", 2)[0] == 0
    seeds = [read_metadata(path)["seed"] for path in workplace.iterdir()]
    assert len(set(seeds)) == 4


def test_only_pictures_of_the_command_line_have_a_command() -> None:
    metadata = {"prompt": "a", "seed": 1}
    assert command_for(metadata) is None, "made from Python: noise or scheduler may be its own"
    made = metadata | {"program": "kandinsky generate"}
    assert command_for(made) == "kandinsky generate a --seed 1"


def test_info_of_the_embedded_model(kandinsky: Runner) -> None:
    code, output, error = kandinsky("info", "shapes", "--json")
    assert (code, error) == (0, "")
    found = json.loads(output)
    decoder = found["KandinskyV22Pipeline"]
    assert decoder["unet"]["class"] == "UNet2DConditionModel"
    assert decoder["unet"]["parameters"] > decoder["unet"]["tensors"] > 100
    assert found["KandinskyV22PriorPipeline"]["tokenizer"] == {"class": "CLIPTokenizer"}
    assert {"KandinskyV22InpaintPipeline", "KandinskyV22ControlnetPipeline"} <= set(found)
    code, output, _ = kandinsky("info", "shapes")
    assert code == 0
    assert f"parameters: {decoder['unet']['parameters']:,}" in output


def test_backends(kandinsky: Runner) -> None:
    code, output, error = kandinsky("backends", "--json")
    assert (code, error) == (0, "")
    (jax,) = (report for report in json.loads(output) if report["name"] == "jax")
    assert jax["available"] is True
    assert {"jax", "jaxlib", "flax"} <= set(jax["versions"])
    assert any(device.startswith(("cpu", "gpu", "tpu")) for device in jax["devices"])
    code, output, _ = kandinsky("backends")
    assert code == 0
    assert re.search(r"^jax +jax \d.*; devices: ", output, re.MULTILINE)


@pytest.mark.usefixtures("workplace")
def test_interrupted(kandinsky: Runner, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(generate, "load", interrupt)
    assert kandinsky("generate", "a") == (130, "", "\nkandinsky: interrupted\n")
    assert not names(workplace)


def test_reader_that_goes_away_is_no_error() -> None:
    command = [sys.executable, "-m", "kandinsky_cli.main", "info", "shapes"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    with process.stderr as errors:
        assert errors.read() == b""
    assert process.wait() == 0


@pytest.mark.parametrize(
    "words",
    [["--version"], ["--help"]]
    + [
        [command, "--help"]
        for command in (
            *(
                "generate",
                "img2img",
                "inpaint",
                "interpolate",
                "controlnet",
                "beautify",
                "upscale",
                "warmup",
            ),
            *("info", "models", "env", "completion", "convert", "verify"),
        )
    ],
    ids=" ".join,
)
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    code = (
        "import sys\n"
        "from kandinsky_cli.main import main\n"
        "try:\n    main(sys.argv[2:])\n"
        "except SystemExit as stop:\n    assert not stop.code\n"
        "print(*sorted(set(sys.argv[1].split(',')) & set(sys.modules)), file=sys.stderr)\n"
    )
    command = [sys.executable, "-c", code, ",".join(HEAVY), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr.strip() == ""
    assert "kandinsky" in done.stdout


def test_installed_command_is_this_one() -> None:
    scripts = importlib.metadata.entry_points(group="console_scripts", name="kandinsky")
    assert all(script.load() is main for script in scripts)
    assert scripts
