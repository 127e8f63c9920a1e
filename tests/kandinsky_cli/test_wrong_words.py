"""Wrong command lines: each gives one clear line and exit code 2, before any weight is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from kandinsky_cli.commands import generate
from kandinsky_core.denoising.generator import Generator
from kandinsky_core.errors import BackendUnavailableError
from kandinsky_core.pictures.metadata import read_metadata
from kandinsky_core.pipelines.shared import loading
from kandinsky_core.seam import registry
from tests.kandinsky_cli.run import Runner
from tests.support.backends import needs
from tests.support.fakes import combined_pipeline

pytest.importorskip("jax")


@pytest.fixture(autouse=True)
def unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail when the networks of a model are about to be loaded."""

    def load(*_: Any, **__: Any) -> Any:
        raise AssertionError("the model was loaded before the mistake was seen")

    monkeypatch.delenv("KANDINSKY_BACKEND", raising=False)
    monkeypatch.setattr(loading, "require_room", load)


@pytest.fixture(autouse=True)
def things(workplace: Path) -> Path:
    """Files that the command lines name: pictures, a text, a folder."""
    for name in ("old.png", "white.png"):
        Image.new("RGB", (8, 8), "white").save(workplace / name)
    Image.new("RGB", (8, 8)).save(workplace / "black.png")
    (workplace / "text.txt").write_text("text")
    (workplace / "folder").mkdir()
    return workplace


def check(outcome: tuple[int, str, str], part: str, folder: Path) -> None:
    """One line with these words, nothing else, and nothing written."""
    code, output, error = outcome
    assert (code, output) == (2, ""), error
    assert error.startswith("kandinsky")
    assert error.count("\n") == 1, error
    assert part in error
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["black.png", "folder", "old.png", "text.txt", "white.png"]


GENERATE = [
    ("--steps 1001", "--steps 1001: give from 1 to 999, as the model's DDPMScheduler"),
    (
        "--steps 1000 --scheduler dpm++",
        "--steps 1000: give from 1 to 998, as the model's DPMSolver",
    ),
    ("--prior-steps 1001", "--prior-steps 1001: give from 1 to 1000, as the model's UnCLIP"),
    ("--lora no.safetensors", "--lora: no LoRA 'no.safetensors': there is no such file"),
    ("--lora folder", "--lora: folder holds no LoRA: expected one of pytorch_lora_weights"),
    ("--lora text.txt", "--lora: text.txt: a LoRA is a .safetensors or .bin file"),
    ("--lora text.txt:x", "--lora 'text.txt:x': 'x' is no weight"),
    ("--lora text.txt:nan", "weight=nan: give a finite number"),
    ("--lora :1", "--lora names no file"),
    ("--output=", "--output: it is empty: give a path"),
    ("--output old.png", "--output old.png: there is such a file; give another name, or --overw"),
    ("--output text.txt", "--output text.txt: pictures are written as .png, .jpg, .jpeg or .webp"),
    ("--output old.png/new", "old.png is no folder that can be written (it is a file)"),
    (f"--output {'a' * 300}.png", "File name too long"),
    ("--height 1000000000", "1 picture of 64 x 1000000000 pixels: the UNet's features alone take"),
    ("--movq-tile-size 8", "--movq-tile-size=8: give a multiple of 8 pixels, at least 32"),
    ("--movq-tile-size 24", "--movq-tile-size=24: give a multiple of 8 pixels, at least 32"),
    ("--flash", "--flash: shapes is a KandinskyV22Pipeline, and Flash is of Kandinsky 3.1"),
    ("--model old.png", "no model 'old.png': it is a file, give the model's folder"),
    ("--model ./text.txt", "no model './text.txt': it is a file, give the model's folder"),
    ("--model folder", "folder is no model folder: it has no model_index.json"),
    ("--prior nowhere", "no model 'nowhere'"),
    ("--mesh data=4", "mesh: options are one backend's own; give its name too, backend='jax'"),
    ("--mesh data=2 --backend jax --device cpu", "device='cpu' beside mesh='data=2'"),
    ("--mesh nonsense --backend jax", "mesh='nonsense': there is no axis 'nonsense'"),
    ("--seed -9223372036854775809", "a seed is an integer from -2**63 to 2**64 - 1"),
    ("--seed 1 abc", "invalid int value: 'abc'; a PROMPT, ITEM or IMAGE comes before --seed"),
    ("--backend jacks", "there is no backend 'jacks': choose one of"),
    ("--scheduler fast", "scheduler='fast': give one of ddim"),
    ("--text-encoder-loading streamed", "text_encoder_loading='streamed': choose one of resid"),
    ("--strength 1", "kandinsky generate: error: unrecognized arguments: --strength 1 (see"),
    ("another prompt", "unrecognized arguments: another prompt (see kandinsky generate --help)"),
    *(
        (f"--{name}=", f"--{name} is empty: give a value, or leave --{name} out")
        for name in (
            "backend",
            "device",
            "dtype",
            "lora",
            "mesh",
            "prior",
            "revision",
            "scheduler",
            "variant",
        )
    ),
]
OTHERS = [
    ("generate --seed 1 abc", "'abc'; a PROMPT, ITEM or IMAGE comes before --seed"),
    ("img2img a --image white.png --strength 2", "strength=2.0: give a number above 0"),
    ("img2img a --image white.png --steps 1001", "--steps 1001: give from 1 to 999"),
    ("img2img a --image folder", "--image: "),
    ("img2img a --image=", "--image is empty"),
    ("inpaint a --image white.png --mask black.png", "--mask black.png has no white pixel"),
    ("inpaint a --image white.png", "the following arguments are required: --mask"),
    ("interpolate --weights 0.5 0.5 a b", "'a'; each ITEM comes before --weights"),
    ("interpolate a b --weights 0 0", "--weights are all 0"),
    ("interpolate a b --weights 1", "--weights has 1 weights for 2 items"),
    ("interpolate a b --weights 1 nan", "--weights=nan: give a finite number"),
    ("interpolate a b", "the following arguments are required: --weights"),
    ("controlnet a --hint white.png --steps 5000", "--steps 5000: give from 1 to 999"),
    ("controlnet a --hint white.png --prior-steps 5000", "--prior-steps 5000: give from 1 to 100"),
    ("verify --backends jax,", "--backends 'jax,' has an empty name"),
    ("verify --steps 0", "--steps=0: give a whole number of at least 1"),
    ("verify --width -1", "--width=-1: give a whole number of at least 1"),
    ("verify --seed 99999999999999999999", "a seed is an integer from -2**63 to 2**64 - 1"),
    ("verify --converted=", "--converted: it is empty: give a path"),
    ("convert shapes --to jax --output=", "--output: it is empty: give a path"),
    ("convert shapes --to=", "--to is empty"),
    ("convert shapes --to jax --output new --component=", "--component is empty"),
    ("convert shapes --to paper --output new", "target 'paper': choose diffusers, jax"),
    ("warmup --flash", "--flash: shapes is a KandinskyV22Pipeline"),
    ("warmup --movq-tile-size 16", "--movq-tile-size=16: give a multiple of 8 pixels, at least 32"),
    ("warmup --width 64 1000000000", "1 picture of 1000000000 x 64 pixels: the UNet's features"),
    ("warmup --task paint", "--task='paint': choose one of generate"),
    ("beautify a --max-words 0", "--max-words=0: give a whole number of at least 1"),
    ("info folder", "folder is no model folder"),
    ("info shapes --backend jacks", "there is no backend 'jacks'"),
    ("info shapes more", "kandinsky info: error: unrecognized arguments: more"),
    ("backends --jsn", "kandinsky backends: error: unrecognized arguments: --jsn"),
]


@pytest.mark.parametrize(("words", "part"), GENERATE)
def test_generate(kandinsky: Runner, things: Path, words: str, part: str) -> None:
    check(kandinsky("generate", "a", *words.split()), part, things)


@pytest.mark.parametrize(("words", "part"), OTHERS)
def test_other_commands(kandinsky: Runner, things: Path, words: str, part: str) -> None:
    check(kandinsky(*words.split()), part, things)


@needs("mindspore")
def test_mesh_of_a_backend_without_one(kandinsky: Runner, things: Path) -> None:
    outcome = kandinsky("generate", "a", "--mesh", "data=2", "--backend", "mindspore")
    check(outcome, "the mindspore backend has no option 'mesh'", things)


def test_folder_in_which_no_file_can_be_made(kandinsky: Runner, things: Path) -> None:
    """Permissions alone do not tell: root may write in /proc, where no file can be made."""
    if not Path("/proc/self").exists():
        pytest.skip("this system has no /proc")
    outcome = kandinsky("generate", "a", "--output", "/proc/a.png")
    check(outcome, "--output: /proc is no folder that can be written (", things)


def test_negative_seed_names_its_file_after_the_seed_that_it_stands_for(
    kandinsky: Runner, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generate, "load", lambda _: combined_pipeline())
    assert kandinsky("generate", "a", "--steps", 2, "--prior-steps", 2, "--seed", "-1")[0] == 0
    seed = Generator(-1).initial_seed()
    assert read_metadata(workplace / f"kandinsky-{seed}.png")["seed"] == seed


def test_bad_variable_is_named_and_the_backends_are_listed(
    kandinsky: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KANDINSKY_BACKEND", "jacks")
    code, output, error = kandinsky("backends")
    assert code == 0
    assert output.startswith("jax ")
    assert error.count("\n") == 1
    assert (
        "warning: there is no backend 'jacks' (from the environment's KANDINSKY_BACKEND)" in error
    )


def test_backend_that_fails_takes_one_line_of_the_list(
    kandinsky: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing:
        def __init__(self, error: Exception) -> None:
            self.error = error

        def report(self) -> Any:
            raise self.error

    errors = iter(
        (
            RuntimeError("Unable to initialize backend 'cuda':\nset JAX_PLATFORMS"),
            AssertionError(),
            BackendUnavailableError("it has\x1b no devices"),
        )
    )
    names = dict.fromkeys(("one", "two", "three"))
    monkeypatch.setattr(registry, "_registered", lambda: names)
    monkeypatch.setattr(registry, "_create", lambda *_: Failing(next(errors)))
    code, output, error = kandinsky("backends")
    assert (code, error) == (0, "")
    assert output.splitlines() == [
        "one        not available: Unable to initialize backend 'cuda': set JAX_PLATFORMS",
        "two        not available: AssertionError",
        r"three      not available: it has\x1b no devices",
    ]
