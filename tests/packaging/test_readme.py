"""Every command and sample of the README runs as it stands."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, flags=re.DOTALL)
SAMPLES = [text for kind, text in BLOCKS if kind == "python"]
COMMANDS = [line for kind, text in BLOCKS if kind == "bash" for line in text.splitlines()]
SETUP = [line for line in COMMANDS if "-m venv" in line]
# The hub cannot be reached here; the embedded model stands in for the published ones.
HUB_ID = re.compile(r"kandinsky-community/kandinsky-2-2-(decoder|prior)")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("readme")


def test_the_readme_has_two_setups_commands_and_samples() -> None:
    assert len(SETUP) == 2
    assert len(COMMANDS) > 5
    assert len(SAMPLES) == 3


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(SAMPLES)))
def test_samples_run(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(HUB_ID.sub("shapes", SAMPLES[number]), names)
    assert isinstance(names["image"], Image.Image)


@pytest.mark.slow
def test_commands_run_in_order(folder: Path) -> None:
    """One after the other: `info` reads what `generate` wrote."""
    shutil.copytree(ROOT / "examples", folder / "examples")
    scripts = str(Path(sys.executable).parent)
    environment = os.environ | {"PATH": scripts + os.pathsep + os.environ["PATH"]}
    for line in COMMANDS:
        if line in SETUP:
            continue
        done = subprocess.run(
            shlex.split(line), cwd=folder, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{line}\n{done.stderr}"
        assert done.stdout.strip(), line


@pytest.mark.slow
def test_first_command_on_a_clean_clone(tmp_path: Path) -> None:
    """What a newcomer types, in a copy of the committed files with nothing installed."""
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path / "home"), "CI": "true"}
    environment |= {name: value for name, value in os.environ.items() if "PIP" in name}
    done = subprocess.run(
        SETUP[0], shell=True, cwd=clone, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    picture = clone / done.stdout.split()[0]
    with Image.open(picture) as image:
        assert image.size == (64, 64)
