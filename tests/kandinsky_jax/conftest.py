"""The model of tests that count programs, whatever those compute."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.shallow_shapes import write_shallow_shapes


@pytest.fixture(scope="session")
def shallow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded model with fewer layers and random weights."""
    return write_shallow_shapes(tmp_path_factory.mktemp("shallow") / "shapes")
