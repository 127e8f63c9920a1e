"""Every example runs as it stands, on both backends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image, ImageStat

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.py"))


def test_there_are_examples() -> None:
    assert [path.name for path in EXAMPLES] == ["mindone_kandinsky_2_2.py"]


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "mindspore"])
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example(example: Path, backend: str, tmp_path: Path) -> None:
    pytest.importorskip(backend)
    done = subprocess.run(
        [sys.executable, str(example), "--steps", "2", "--output", "picture.png"],
        cwd=tmp_path,
        env={**os.environ, "KANDINSKY_BACKEND": backend},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "picture.png") as image:
        assert image.size == (64, 64)
        assert max(ImageStat.Stat(image).stddev) > 5, "a flat picture"
