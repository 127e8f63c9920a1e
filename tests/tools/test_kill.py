"""Commands that are killed leave nothing half behind, and a cut compiled program does no harm."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tools.kill import COMMANDS, finish, kill

MOMENTS = 2


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all commands run, so that they share what is compiled."""
    return tmp_path_factory.mktemp("place")


@pytest.mark.slow(seconds=20)
@pytest.mark.parametrize("name", COMMANDS)
def test_a_killed_command_leaves_nothing_half(name: str, place: Path) -> None:
    shutil.rmtree(place / "out", ignore_errors=True)
    assert list(kill(name, MOMENTS, place)) == []


@pytest.mark.slow(seconds=10)
def test_cut_programs_of_the_cache_change_nothing(place: Path) -> None:
    """No kill cuts them, but a disk may. They are whole again afterwards."""
    command, made = COMMANDS["generate"], place / "out" / "a.png"
    shutil.rmtree(place / "out", ignore_errors=True)
    for folder in ("out", "cache/kandinsky"):
        (place / folder).mkdir(parents=True, exist_ok=True)
    finish(command, place)
    whole = np.asarray(Image.open(made))
    programs = sorted((place / "cache" / "kandinsky").glob("*.entry"))
    assert programs
    for number, path in enumerate(programs):
        content = path.read_bytes()
        path.write_bytes(content[: (0, 10, len(content) // 2, -1)[number % 4]])
    made.unlink()
    finish(command, place)
    np.testing.assert_array_equal(np.asarray(Image.open(made)), whole)
    # Seven programs have two entries each; others, of `warmup` alone, are as they were.
    assert sum(path.exists() and path.stat().st_size > 100 for path in programs) >= 14
