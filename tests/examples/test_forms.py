"""Every example runs as it stands, on both backends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image, ImageStat

from tests.support.own_modules import write_beside_own_modules

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.py"))


def test_there_are_examples() -> None:
    assert [path.name for path in EXAMPLES] == ["mindone_kandinsky_2_2.py"]


def run(words: list[str], backend: str, folder: Path) -> None:
    """Start Python on a script; look at its picture."""
    pytest.importorskip(backend)
    done = subprocess.run(
        [sys.executable, *words, "--steps", "2", "--output", "picture.png"],
        cwd=folder,
        env={**os.environ, "KANDINSKY_BACKEND": backend},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    with Image.open(folder / "picture.png") as image:
        assert image.size == (64, 64)
        assert max(ImageStat.Stat(image).stddev) > 5, "a flat picture"


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example(example: Path, tmp_path: Path) -> None:
    run([str(example)], "mindspore", tmp_path)


@pytest.mark.slow
def test_a_script_beside_its_own_backends_and_converters(tmp_path: Path) -> None:
    """With what is installed here, an editable install as a rule; `test_wheel` tries the wheel."""
    script = write_beside_own_modules(tmp_path / "mine")
    run([str(script), str(EXAMPLES[0])], "jax", tmp_path)
