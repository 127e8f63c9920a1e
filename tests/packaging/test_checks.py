"""Style, types and spelling of the checkout, as the hooks of .pre-commit-config.yaml check them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = {
    "ruff check": ("ruff", "check"),
    "ruff format": ("ruff", "format", "--check"),
    "mypy": ("mypy",),
}


def check(command: list[str]) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow(seconds=60)] * (name == "mypy"))
        for name in MODULES
    ],
)
def test_the_checkout_is_clean(name: str) -> None:
    check([sys.executable, "-m", *MODULES[name]])


def test_words_are_spelt_right() -> None:
    typos = shutil.which("typos", path=str(Path(sys.executable).parent))
    if typos is None:
        pytest.skip("typos is not installed")
    check([typos, "--format", "brief"])


def test_the_hooks_have_the_versions_of_the_tests() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pins = {pin for pin in project["optional-dependencies"]["test"] if "==" in pin}
    hooks = re.findall(
        r'additional_dependencies: \["(.+?)"\]',
        (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"),
    )
    assert {hook.split("==")[0] for hook in hooks} == {"ruff", "typos"}
    assert set(hooks) <= pins
