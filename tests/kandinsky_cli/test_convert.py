"""`kandinsky convert`: reports, checks, and mistakes as one line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kandinsky_core.checkpoints.hub import EMBEDDED
from tests.kandinsky_cli.run import Runner
from tests.support.damage import edit_tensors
from tests.support.fake_hub import FakeHub
from tests.support.torch_archive import write_torch_file

DECODER = EMBEDDED["shapes"] / "decoder"


def test_there_and_back_with_a_report(kandinsky: Runner, workplace: Path) -> None:
    code, output, error = kandinsky("convert", DECODER, "--to", "jax", "--output", "j")
    assert (code, error) == (0, "")
    lines = output.splitlines()
    assert lines[-1] == "j  converted to jax"
    assert any(line.startswith("unet: 280 of 280 tensors used, 280 written, ") for line in lines)
    assert (workplace / "j/unet/kandinsky_jax.safetensors").is_file()
    assert kandinsky("convert", "j", "--to", "diffusers", "--output", "d")[0] == 0
    name = "unet/diffusion_pytorch_model.safetensors"
    code, output, _ = kandinsky("convert", DECODER, "--check", "d")
    assert (code, output) == (0, f"d against {DECODER}: equal bit for bit\n")
    values = np.full(8, 7, np.float16)
    edit_tensors(workplace / "d" / name, **{"conv_out.bias": values})
    code, output, _ = kandinsky("convert", DECODER, "--check", "d")
    assert code == 1
    assert "unet: conv_out.bias differs in 8 of 8 values" in output
    assert output.endswith(": 1 difference\n")
    code, output, _ = kandinsky("convert", DECODER, "--check", "d", "--json")
    found = json.loads(output)
    assert (code, found["passed"], len(found["differences"])) == (1, False, 1)


def test_report_as_json_and_one_component(kandinsky: Runner, workplace: Path) -> None:
    words = ("--to", "mindspore", "--output", "m", "--component", "movq", "--json")
    code, output, _ = kandinsky("convert", DECODER, *words)
    assert code == 0
    (found,) = json.loads(output).values()
    assert list(found["components"]) == ["movq"]
    assert found == json.loads((workplace / "m/conversion.json").read_text())


def test_a_hub_model_with_pickles_alone(kandinsky: Runner, hub: FakeHub, tmp_path: Path) -> None:
    """As the published ControlNet of 2.2 is."""
    from safetensors.numpy import load_file

    folder = tmp_path / "repo"
    for path in DECODER.rglob("*"):
        target = folder / path.relative_to(DECODER)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".safetensors":
            write_torch_file(target.with_suffix(".bin"), load_file(path))
        elif path.is_file():
            target.write_bytes(path.read_bytes())
    hub.add("someone/pickled", folder)
    code, _, error = kandinsky("convert", "someone/pickled", "--to", "diffusers", "--output", "d")
    assert (code, error) == (0, "")
    assert kandinsky("convert", DECODER, "--check", "d")[0] == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--to", "jax"], "give --to LAYOUT and --output DIR"),
        (["--output", "d"], "give --to LAYOUT and --output DIR"),
        (["--check", "d", "--to", "jax"], "--check compares and writes nothing"),
        (["--to", "flax", "--output", "d"], "choose diffusers, jax, mindspore"),
        (["--to", "jax", "--output", "d", "--dtype", "int8"], "float32, bfloat16, float16"),
        (["--to", "jax", "--output", "d", "--component", "vae"], "has no vae to convert"),
        (["--to", "jax", "--output", "full"], "exists already"),
        (["--check", "full"], "is nothing to convert"),
    ],
)
def test_mistakes_are_one_line(
    kandinsky: Runner, workplace: Path, words: list[str], said: str
) -> None:
    (workplace / "full").mkdir()
    (workplace / "full" / "mine").write_text("x")
    code, output, error = kandinsky("convert", DECODER, *words)
    assert (code, output) == (2, "")
    assert error.startswith("kandinsky convert: error: ")
    assert said in error
    assert error.count("\n") == 1
    assert sorted(path.name for path in workplace.iterdir()) == ["full"]


def test_a_single_weight_file_says_too_little(kandinsky: Runner, workplace: Path) -> None:
    path = DECODER / "unet/diffusion_pytorch_model.safetensors"
    code, _, error = kandinsky("convert", path, "--to", "jax", "--output", "d")
    assert code == 2
    assert "give the model's folder" in error


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from kandinsky_cli.main import main\n"
        "try: main(['convert', '--help'])\n"
        "except SystemExit: pass\n"
        "print({'numpy', 'jax', 'safetensors', 'converters'} & set(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"


@pytest.mark.parametrize(
    ("lora", "said"),
    [("none.safetensors", "there is no such file"), ("a:b", "'b' is no weight")],
)
def test_a_wrong_lora_is_one_line(kandinsky: Runner, lora: str, said: str) -> None:
    pytest.importorskip("jax")
    code, _, error = kandinsky("generate", "a circle", "--lora", lora, "--steps", "1")
    assert code == 2
    assert said in error
    assert error.count("\n") == 1
