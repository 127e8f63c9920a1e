"""Bad input: exit code 2, one line on stderr, nothing on stdout, nothing written."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kandinsky_cli.commands import generate
from kandinsky_core.checkpoints.opened_model import OpenedModel
from tests.kandinsky_cli.run import Runner
from tests.support.backends import BACKENDS, needs
from tests.support.damage import edit_json, edit_tensors, truncate
from tests.support.fake_hub import FakeHub

UNET = Path("decoder/unet/diffusion_pytorch_model.safetensors")


def said(outcome: tuple[int, str, str], workplace: Path) -> str:
    """Check what all errors have in common and return the line without its newline."""
    code, output, error = outcome
    assert code == 2, error
    assert output == ""
    assert error.endswith("\n")
    assert error.count("\n") == 1, error
    assert error.startswith("kandinsky")
    assert "Traceback" not in error
    assert not list(workplace.iterdir())
    return error[:-1]


@pytest.fixture
def unloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail when any weights are about to be loaded."""

    def load(*_: Any, **__: Any) -> Any:
        raise AssertionError("the model was loaded before the mistake was seen")

    monkeypatch.setattr(generate, "load", load)


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ([], "the following arguments are required: PROMPT"),
        (["a", "--height", "0"], "--height=0: give a whole number of at least 1"),
        (["a", "--width", "-64"], "--width=-64: give a whole number of at least 1"),
        (["a", "--height", "64.5"], "argument --height: invalid int value: '64.5'"),
        (["a", "--steps", "0"], "--steps=0: give a whole number of at least 1"),
        (["a", "--steps", "ten"], "argument --steps: invalid int value: 'ten'"),
        (["a", "--movq-tile-size", "0"], "--movq-tile-size=0: give a whole number of at least 1"),
        (["a", "--movq-tile-size", "30"], "--movq-tile-size=30: give a multiple of 8 pixels"),
        (["a", "--prior-steps", "-1"], "--prior-steps=-1: give a whole number of at least 1"),
        (["a", "--guidance-scale", "nan"], "--guidance-scale=nan: give a finite number"),
        (["a", "--guidance-scale", "inf"], "--guidance-scale=inf: give a finite number"),
        (["a", "--guidance-scale", "x"], "argument --guidance-scale: invalid float value: 'x'"),
        (["a", "--prior-guidance-scale=-inf"], "--prior-guidance-scale=-inf: give a finite"),
        (["a", "--num-images", "0"], "--num-images=0: give a whole number of at least 1"),
        (["a", "--seed"], "argument -s/--seed: expected at least one argument"),
        (["a", "--seed", "x"], "argument -s/--seed: invalid int value: 'x'"),
        (["a", "--seed", str(2**64)], "seed=18446744073709551616"),
        (["a", "--seed", str(2**64 - 1), "--num-images", "2"], "seed=18446744073709551616"),
        (["a", "--seed", "1", "2", "3", "--num-images", "2"], "has 3 seeds for --num-images 2"),
        (["a", "--seed", "1", "2", "--num-images", "3"], "--seed has 2 seeds for --num-images 3"),
        (["a", "--dtype", "float64"], "dtype 'float64' is not supported: choose float32"),
        (["a", "--quantize", "int4"], "quantize='int4' is not supported: give int8, or leave it"),
        (["a", "--quantize", "int8", "--lora", "shapes"], "--lora beside --quantize int8: a LoRA"),
        (["a", "--output", "a.gif"], "--output a.gif: pictures are written as .png, .jpg, .jpeg"),
        (["a", "--outputs", "x"], "unrecognized arguments: --outputs x"),
        (["caf\udce9"], "is no valid Unicode text"),
        (["a", "--negative-prompt", "caf\udce9"], "is no valid Unicode text"),
    ],
)
@pytest.mark.usefixtures("unloaded")
def test_arguments_are_refused_before_loading(
    kandinsky: Runner, workplace: Path, words: list[str], part: str
) -> None:
    assert part in said(kandinsky("generate", *words), workplace)


@pytest.mark.usefixtures("unloaded")
def test_output_that_cannot_be_written(kandinsky: Runner, workplace: Path, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"")
    for output in (file / "picture.png", file / "deeper" / "folder", file):
        assert f"{file} is no folder that can be written" in said(
            kandinsky("generate", "a", "--output", output), workplace
        )
    assert file.read_bytes() == b""


@pytest.mark.parametrize("words", [[], ["draw", "a"], ["info"], ["backends", "jax"], ["--frob"]])
def test_unknown_commands_and_missing_words(
    kandinsky: Runner, workplace: Path, words: list[str]
) -> None:
    assert "--help)" in said(kandinsky(*words), workplace)


@pytest.mark.parametrize("command", ["generate", "info"])
@pytest.mark.parametrize("name", ["shape", "./nowhere", "", "a/b/c"])
def test_unknown_model(kandinsky: Runner, workplace: Path, command: str, name: str) -> None:
    words = ["generate", "a", "--model", name] if command == "generate" else ["info", name]
    assert f"no model {name!r}" in said(kandinsky(*words), workplace)


def test_unknown_repository(kandinsky: Runner, workplace: Path, hub: FakeHub) -> None:
    line = said(kandinsky("generate", "a", "--model", "owner/nothing"), workplace)
    assert "model 'owner/nothing'" in line
    assert "no such repository" in line
    hub.clear()
    line = said(
        kandinsky("generate", "a", "--model", "owner/nothing", "--local-files-only"), workplace
    )
    assert "not in the cache" in line
    assert not hub.requests


def break_index(model: Path) -> None:
    (model / "decoder" / "model_index.json").write_text("{")


def drop_folder(model: Path) -> None:
    shutil.rmtree(model / "prior" / "text_encoder")


def drop_weights(model: Path) -> None:
    (model / UNET).unlink()


def leave_pickles(model: Path) -> None:
    (model / UNET).replace((model / UNET).with_suffix(".bin"))


def cut_weights(model: Path) -> None:
    truncate(model / UNET)


def break_vocabulary(model: Path) -> None:
    (model / "prior" / "tokenizer" / "vocab.json").write_text("{")


def empty_folder(model: Path) -> None:
    shutil.rmtree(model)
    model.mkdir()


@pytest.mark.parametrize(
    ("spoil", "parts"),
    [
        (empty_folder, ["is no model folder: it has no model_index.json", "save_pretrained"]),
        (break_index, ["model_index.json cannot be read as JSON"]),
        (drop_folder, ["lacks the folders of text_encoder"]),
        (drop_weights, ["unet has no weights"]),
        (leave_pickles, ["only pickled weights (diffusion_pytorch_model.bin)"]),
        (cut_weights, [f"{UNET} cannot be read as safetensors"]),
        (break_vocabulary, ["the tokenizer in", "cannot be read"]),
    ],
)
def test_damaged_models(
    kandinsky: Runner,
    workplace: Path,
    model: Path,
    spoil: Callable[[Path], None],
    parts: list[str],
) -> None:
    spoil(model)
    line = said(kandinsky("generate", "a", "--model", model, "--output", "out"), workplace)
    for part in parts:
        assert part in line


def strange_config(model: Path) -> None:
    edit_json(model / "decoder" / "movq" / "config.json", colour_of_the_sky="blue")


def strange_tensor(model: Path) -> None:
    edit_tensors(model / UNET, drop=("conv_in.bias",), stray=np.ones(1, np.float16))


def small_tensor(model: Path) -> None:
    edit_tensors(model / UNET, **{"conv_in.bias": np.ones(3, np.float16)})


def whole_numbers(model: Path) -> None:
    edit_tensors(model / UNET, **{"conv_out.bias": np.ones(8, np.int32)})


def no_numbers(model: Path) -> None:
    edit_tensors(model / UNET, **{"conv_out.bias": np.full(8, np.nan, np.float16)})


def huge_numbers(model: Path) -> None:
    edit_tensors(model / UNET, **{"time_embedding.linear_1.bias": np.full(256, 3e38, "f4")})


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("spoil", "parts"),
    [
        (strange_config, ["VQModel: unknown config field", "colour_of_the_sky"]),
        (strange_tensor, ["1 missing (conv_in.bias)", "1 unexpected (stray)"]),
        (small_tensor, ["1 of another shape (conv_in.bias [3] for ["]),
        (whole_numbers, ["1 not floating point (conv_out.bias I32)"]),
        (no_numbers, ["NaN or infinity in float32", "(conv_out.bias)"]),
        (huge_numbers, ["the UNet gave", "NaN or infinite: its weights or inputs hold such"]),
    ],
)
def test_weights_that_do_not_fit_on_every_backend(
    kandinsky: Runner,
    workplace: Path,
    model: Path,
    backend: str,
    spoil: Callable[[Path], None],
    parts: list[str],
) -> None:
    spoil(model)
    words = ["generate", "a", "--model", model, "--backend", backend, "--output", "out.png"]
    line = said(kandinsky(*words, "--steps", "1", "--prior-steps", "1"), workplace)
    for part in parts:
        assert part in line


def test_unknown_backend_is_refused_before_loading(
    kandinsky: Runner, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OpenedModel, "components", lambda *_: pytest.fail("model was looked for"))
    line = said(kandinsky("generate", "a", "--backend", "torch"), workplace)
    assert "there is no backend 'torch': choose one of jax" in line


@pytest.mark.parametrize(
    ("backend", "device", "part"),
    [
        pytest.param(backend, device, part, marks=needs(backend))
        for backend, device, part in (
            ("jax", "npu:7", "JAX sees no device 'npu:7'; it sees"),
            ("jax", "ascend", "JAX sees no device 'ascend'; it sees"),
            ("jax", "cpu:9", "JAX sees no device 'cpu:9'; it sees"),
            ("jax", "toaster", "JAX sees no device 'toaster'; it sees"),
            ("mindspore", "npu:7", "device 'npu:7': MindSpore finds no Ascend NPU; install CANN"),
            ("mindspore", "ascend", "device 'ascend': MindSpore finds no Ascend NPU; install"),
            ("mindspore", "gpu", "MindSpore has no device 'gpu': choose cpu, ascend or ascend:N"),
            ("mindspore", "cpu:9", "MindSpore has no device 'cpu:9': choose"),
            ("mindspore", "toaster", "MindSpore has no device 'toaster': choose"),
        )
    ],
)
def test_unknown_device(
    kandinsky: Runner, workplace: Path, backend: str, device: str, part: str
) -> None:
    line = said(kandinsky("generate", "a", "--backend", backend, "--device", device), workplace)
    assert part in line


@needs("mindspore")
def test_bfloat16_on_a_cpu_of_mindspore(kandinsky: Runner, workplace: Path) -> None:
    words = ["generate", "a", "--backend", "mindspore", "--dtype", "bfloat16"]
    line = said(kandinsky(*words), workplace)
    assert "dtype 'bfloat16' does not run on MindSpore's CPU: use float32" in line


@needs("mindspore")
def test_device_of_the_environment_is_named(
    kandinsky: Runner, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KANDINSKY_MINDSPORE_DEVICE", "ascend:1")
    line = said(kandinsky("generate", "a", "--backend", "mindspore"), workplace)
    assert "device 'ascend:1': MindSpore finds no Ascend NPU" in line


def test_more_steps_than_the_model_has(kandinsky: Runner, workplace: Path) -> None:
    line = said(kandinsky("generate", "a", "--steps", "1001"), workplace)
    assert "1000" in line


@pytest.mark.parametrize(
    ("backend", "packages"), [("jax", "jax, jaxlib, flax"), ("mindspore", "mindspore, mindone")]
)
def test_backend_that_is_not_installed_names_its_extra(
    tmp_path: Path, backend: str, packages: str
) -> None:
    """In a process that finds no metadata of its packages."""
    code = (
        "import importlib.metadata as metadata, sys\n"
        "real = metadata.version\n"
        "def version(name):\n"
        f"    if name in {packages.split(', ')}:\n"
        "        raise metadata.PackageNotFoundError(name)\n"
        "    return real(name)\n"
        "metadata.version = version\n"
        "from kandinsky_cli.main import main\n"
        "sys.exit(main(['generate', 'a', '--backend', sys.argv[1], '--output', sys.argv[2]]))\n"
    )
    command = [sys.executable, "-c", code, backend, str(tmp_path / "a.png")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    extra = f"pip install 'kandinsky-anywhere[{backend}]'"
    assert f"needs {packages}, not installed: {extra}" in done.stderr
    assert not list(tmp_path.iterdir())


def test_error_of_a_real_process(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "kandinsky_cli.main"]
    words: list[str | bytes] = ["generate", os.fsencode("caf") + b"\xe9", "--model", "nothing"]
    done = subprocess.run(
        [*command, *words], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("kandinsky generate: error: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("name", ["absent.png", "text.png", "plain.png", "folder.png"])
def test_info_of_what_is_no_picture_of_ours(
    kandinsky: Runner, workplace: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / "text.png").write_text("no picture")
    Image.new("RGB", (2, 2)).save(tmp_path / "plain.png")
    (tmp_path / "folder.png").mkdir()
    parts = {
        "absent.png": "there is no picture",
        "text.png": "cannot be read as a picture",
        "plain.png": "holds no Kandinsky metadata",
        "folder.png": "is no model folder",
    }
    assert parts[name] in said(kandinsky("info", tmp_path / name), workplace)
