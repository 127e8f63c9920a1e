"""Commands that are killed leave nothing half behind, and a cut compiled program does no harm."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tools.kill import COMMANDS, finish, kill

MOMENTS = 4


@pytest.mark.slow(seconds=60)
@pytest.mark.parametrize("name", COMMANDS)
def test_a_killed_command_leaves_nothing_half(name: str, tmp_path: Path) -> None:
    assert list(kill(name, MOMENTS, tmp_path)) == []


@pytest.mark.slow(seconds=30)
def test_cut_programs_of_the_cache_change_nothing(tmp_path: Path) -> None:
    """A kill may cut a program while JAX writes it."""
    command, made = COMMANDS["generate"], tmp_path / "out" / "a.png"
    for folder in ("out", "cache"):
        (tmp_path / folder).mkdir()
    finish(command, tmp_path)
    whole = np.asarray(Image.open(made))
    programs = sorted((tmp_path / "cache").glob("*-cache"))
    assert programs
    for number, path in enumerate(programs):
        content = path.read_bytes()
        path.write_bytes(content[: (0, 10, len(content) // 2, -1)[number % 4]])
    made.unlink()
    finish(command, tmp_path)
    np.testing.assert_array_equal(np.asarray(Image.open(made)), whole)
