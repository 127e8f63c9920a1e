"""The wheel, installed outside the tree without PyTorch: JAX oldest and newest, MindSpore alone."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support.own_modules import write_beside_own_modules

ROOT = Path(__file__).parents[2]
OLDEST = Path(__file__).parent / "oldest.txt"
# Nothing else lands in site-packages, where other names could be another distribution's.
INSTALLED = {
    "kandinsky_core",
    "kandinsky_backend_kit",
    "kandinsky_jax",
    "kandinsky_mindspore",
    "kandinsky_reference",
    "kandinsky_converters",
    "kandinsky_cli",
    "kandinsky_server",
}
MODEL_LIMIT = 40e6  # bytes
# What needs neither PyTorch nor the checkout's packages, and touches what versions change: arrays,
# compilation, files, pictures, tokens, the command line.
TESTS = (
    "both_backends/test_golden.py",
    "kandinsky_cli/test_commands.py",
    "kandinsky_jax/test_compilation.py",
    "both_backends/test_components.py",
    "kandinsky_converters/test_round_trips.py",
    "kandinsky_core/denoising/test_generator.py",
    "kandinsky_core/checkpoints/test_hub.py",
    "kandinsky_core/pictures/test_inputs.py",
    "kandinsky_jax/test_layers.py",
    "kandinsky_jax/test_load.py",
    "kandinsky_core/pipelines/test_kandinsky2_2.py",
    "kandinsky_core/schedulers/test_published.py",
    "kandinsky_core/texts/test_clip_tokenizer.py",
    "kandinsky_core/checkpoints/test_safetensors_files.py",
)
# Those of them that touch JAX and Flax alone.
OF_JAX = (
    "kandinsky_jax/test_compilation.py",
    "both_backends/test_components.py",
    "kandinsky_jax/test_layers.py",
)
# The newest versions are those of the other tests, but for what PyTorch and MindSpore hold back.
NEWEST = TESTS[:2]
# What these compile for other sizes, tasks and numbers says no more about versions.
LEFT_OUT = (
    "a_new_shape",
    "with_pictures",
    "picture_of_a_batch",
    *(f"same_picture_as_diffusers[{number}]" for number in (1, 2, 3)),
)


def pins() -> dict[str, str]:
    """The oldest versions."""
    text = OLDEST.read_text(encoding="utf-8")
    return dict(re.findall(r"^([\w-]+)==([\d.]+)$", text, re.M))


def of_oldest() -> list[str]:
    """Without those of JAX, where the oldest JAX and Flax are what these tests run with."""
    packages = ("jax", "jaxlib", "flax")
    here = [version(name) if find_spec(name) else "none" for name in packages]
    same = here == [pins()[name] for name in packages]
    return [name for name in TESTS if not (same and name in OF_JAX)]


def test_oldest_versions_are_the_lower_bounds() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    bounds = project["dependencies"] + project["optional-dependencies"]["jax"]
    oldest = pins()
    for bound in bounds:
        name, lowest = bound.split(">=")
        assert [int(part) for part in oldest[name].split(".")][: lowest.count(".") + 1] == [
            int(part) for part in lowest.split(".")
        ], name


def uv(*words: str, cwd: Path = ROOT) -> None:
    """Make environments and install into them; of what one has, others get hard links."""
    command = [sys.executable, "-m", "uv", *words]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    clone = folder / "clone"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
    uv("build", "-q", "--wheel", "--out-dir", str(folder), cwd=clone)
    return next(folder.glob("*.whl"))


@pytest.mark.slow
def test_wheel_holds_the_packages_and_the_model(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
    tops = {name.split("/")[0] for name in sizes if ".dist-info" not in name}
    assert tops == INSTALLED
    model = {name: size for name, size in sizes.items() if "/models/shapes/" in name}
    assert 1e6 < sum(model.values()) <= MODEL_LIMIT
    parts = ("prior", "decoder", "inpaint", "controlnet", "upscaler")
    for part in (*(f"{name}/model_index.json" for name in parts), "decoder/README.md"):
        assert f"kandinsky_core/models/shapes/{part}" in model
    assert {f"{name}/py.typed" for name in INSTALLED} <= set(sizes)
    assert "kandinsky_server/page/index.html" in sizes


class Environment:
    """A virtual environment without the checkout in reach; commands run in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._scripts = folder / "env" / "bin"
        uv("venv", "-q", "--python", sys.executable, str(folder / "env"))
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
        uv("pip", "install", "-q", "--python", str(self._scripts / "python"), *words)

    def check(self, program: str, *words: str) -> str:
        done = self.run(program, *words)
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
        return done.stdout

    def check_example(self) -> None:
        """A script makes a picture beside its own modules of names that this project once took."""
        script = write_beside_own_modules(self.folder / "mine")
        example = self.folder / "examples" / EXAMPLE
        words = ("--steps", "2", "--output", "picture.png")
        assert self.check("python", str(script), str(example), *words) == "picture.png\n"
        assert (self.folder / "picture.png").read_bytes().startswith(b"\x89PNG")


RUNNER = ("pytest", "pytest-timeout", "hypothesis")
QUICK = ("-m", "pytest", "-q", "-m", "not slow")
EXAMPLE = "mindone_kandinsky_2_2.py"


@pytest.mark.slow(seconds=60)
@pytest.mark.parametrize("versions", ["oldest", "newest"])
def test_jax_alone(wheel: Path, versions: str, tmp_path: Path) -> None:
    """The tests that need no PyTorch pass against the installed wheel.

    With the newest versions `test_first_command_on_a_clean_clone` makes a picture as a user does.
    """
    there = Environment(tmp_path)
    constraints = ["-c", str(OLDEST)] if versions == "oldest" else []
    there.install(*constraints, f"{wheel}[jax]", *RUNNER)
    others = " and ".join(f"not {name}" for name in LEFT_OUT)
    tests = (f"tests/{name}" for name in (of_oldest() if constraints else NEWEST))
    assert " passed" in there.check("python", *QUICK, "-k", others, *tests)
    if constraints:
        there.check_example()


@pytest.mark.slow(seconds=50)
def test_mindspore_alone(wheel: Path, tmp_path: Path) -> None:
    """Neither JAX nor PyTorch; before that no backend at all.

    Modules of common names beside a script are a matter of the wheel, so `test_jax_alone` has them.
    """
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
    assert " passed" in there.check(
        "python", *QUICK, "tests/kandinsky_mindspore/test_components.py"
    )
