"""The wheel, installed outside the tree without PyTorch: JAX oldest and newest, MindSpore alone."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OLDEST = Path(__file__).parent / "oldest.txt"
MODEL_LIMIT = 40e6  # bytes
# What needs neither PyTorch nor the checkout's packages, and touches what versions change: arrays,
# compilation, files, pictures, tokens, the command line.
TESTS = (
    "test_golden.py",
    "cli/test_commands.py",
    "unit/test_compilation.py",
    "unit/test_components.py",
    "unit/test_convert_round_trips.py",
    "unit/test_full_size_jax.py",
    "unit/test_generator.py",
    "unit/test_hub.py",
    "unit/test_image_inputs.py",
    "unit/test_layers_jax.py",
    "unit/test_load_jax.py",
    "unit/test_pipelines.py",
    "unit/test_products_jax.py",
    "unit/test_schedulers.py",
    "unit/test_tokenizer.py",
    "unit/test_weights.py",
)


def test_oldest_versions_are_the_lower_bounds() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    bounds = project["dependencies"] + project["optional-dependencies"]["jax"]
    pins = dict(re.findall(r"^([\w-]+)==([\d.]+)$", OLDEST.read_text(encoding="utf-8"), re.M))
    for bound in bounds:
        name, lowest = bound.split(">=")
        assert [int(part) for part in pins[name].split(".")][: lowest.count(".") + 1] == [
            int(part) for part in lowest.split(".")
        ], name


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    clone = folder / "clone"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder)]
    subprocess.run([*command, str(clone)], check=True)
    return next(folder.glob("*.whl"))


@pytest.mark.slow
def test_wheel_holds_the_packages_and_the_model(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
    tops = {name.split("/")[0] for name in sizes if ".dist-info" not in name}
    assert tops == {"kandinsky_core", "backends", "converters"}
    model = {name: size for name, size in sizes.items() if "/models/shapes/" in name}
    assert 1e6 < sum(model.values()) <= MODEL_LIMIT
    parts = ("prior", "decoder", "inpaint", "controlnet")
    for part in (*(f"{name}/model_index.json" for name in parts), "decoder/README.md"):
        assert f"kandinsky_core/models/shapes/{part}" in model
    assert "kandinsky_core/py.typed" in sizes


class Environment:
    """A virtual environment without the checkout in reach; commands run in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._scripts = folder / "env" / "bin"
        subprocess.run([sys.executable, "-m", "venv", str(folder / "env")], check=True)
        # The tests, their tools and the example are copied, the packages under test are not.
        for name in ("tests", "tools", "examples", "pyproject.toml"):
            subprocess.run(["cp", "-r", str(ROOT / name), str(folder / name)], check=True)

    def run(self, program: str, *words: str) -> subprocess.CompletedProcess[str]:
        path = f"{self._scripts}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path}
        for name in ("PYTHONPATH", "XLA_FLAGS"):
            environment.pop(name, None)
        return subprocess.run(
            [str(self._scripts / program), *words],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
        )

    def install(self, *words: str) -> None:
        done = self.run("python", "-m", "pip", "install", "-q", *words)
        assert done.returncode == 0, done.stderr

    def check(self, program: str, *words: str) -> str:
        done = self.run(program, *words)
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
        return done.stdout


RUNNER = ("pytest", "pytest-timeout", "hypothesis")
QUICK = ("-m", "pytest", "-q", "-m", "not slow")
EXAMPLE = ("examples/mindone_kandinsky_2_2.py", "--steps", "2")


@pytest.mark.slow
@pytest.mark.parametrize("versions", ["oldest", "newest"])
def test_jax_alone(wheel: Path, versions: str, tmp_path: Path) -> None:
    """The tests that need no PyTorch pass against the installed wheel."""
    there = Environment(tmp_path)
    constraints = ["-c", str(OLDEST)] if versions == "oldest" else []
    there.install(*constraints, f"{wheel}[jax]", *RUNNER)
    assert " passed" in there.check("python", *QUICK, *(f"tests/{name}" for name in TESTS))
    assert there.check("python", *EXAMPLE) == "mindone_kandinsky_2_2.png\n"


@pytest.mark.slow
def test_mindspore_alone(wheel: Path, tmp_path: Path) -> None:
    """Neither JAX nor PyTorch; before that no backend at all."""
    there = Environment(tmp_path)
    there.install(str(wheel))
    for command in (["generate", "a"], ["verify"]):
        done = there.run("kandinsky", *command)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.count("\n") == 1
        assert "no backend is installed" in done.stderr
        assert "pip install 'kandinsky-anywhere[mindspore]'" in done.stderr
    there.install(f"{wheel}[mindspore]", *RUNNER)
    missing = "from importlib.util import find_spec\nprint(find_spec('jax'), find_spec('torch'))"
    assert there.check("python", "-c", missing) == "None None\n"
    words = ["--seed", "1", "--steps", "2", "--prior-steps", "2", "--backend", "mindspore"]
    done = there.run("kandinsky", "generate", "a red circle", *words)
    assert (done.returncode, done.stderr) == (0, "")
    line = r"kandinsky-1\.png  seed 1, 64x64, mindspore on cpu, [\d.]+ s\n"
    assert re.fullmatch(line, done.stdout)
    done = there.run("kandinsky", "verify")
    assert done.returncode == 2
    assert "mindspore alone has nothing to be compared with" in done.stderr
    tests = sorted((ROOT / "tests" / "unit").glob("test_mindspore_*.py"))
    assert " passed" in there.check(
        "python", *QUICK, *(f"tests/unit/{path.name}" for path in tests)
    )
    assert there.check("python", *EXAMPLE) == "mindone_kandinsky_2_2.png\n"
