"""The wheel, installed outside the tree into environments without PyTorch, oldest and newest."""

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
MODEL_LIMIT = 20e6  # bytes
# What needs neither PyTorch nor the checkout's packages.
TESTS = ("test_golden.py", "unit", "cli")


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
    for part in ("prior/model_index.json", "decoder/unet/config.json", "decoder/README.md"):
        assert f"kandinsky_core/models/shapes/{part}" in model
    assert "kandinsky_core/py.typed" in sizes


@pytest.mark.slow
@pytest.mark.parametrize("versions", ["oldest", "newest"])
def test_wheel_alone(wheel: Path, versions: str, tmp_path: Path) -> None:
    """The tests that need no PyTorch pass against the installed wheel."""
    python = str(tmp_path / "env" / "bin" / "python")
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "env")], check=True)
    constraints = ["-c", str(OLDEST)] if versions == "oldest" else []
    needs = [f"{wheel}[jax]", "pytest", "pytest-timeout", "hypothesis"]
    subprocess.run([python, "-m", "pip", "install", "-q", *constraints, *needs], check=True)
    # The tests and their tools are copied; the packages under test are not in reach.
    for name in ("tests", "tools", "pyproject.toml"):
        subprocess.run(["cp", "-r", str(ROOT / name), str(tmp_path / name)], check=True)
    scripts = str(Path(python).parent)
    environment = os.environ | {"PATH": scripts + os.pathsep + os.environ["PATH"]}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        [python, "-m", "pytest", "-q", "-m", "not slow", *(f"tests/{name}" for name in TESTS)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
