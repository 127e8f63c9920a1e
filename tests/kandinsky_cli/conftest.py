"""Every command runs in an empty folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kandinsky_cli.run import Runner, runner


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, the current one."""
    folder = tmp_path / "workplace"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def kandinsky(capsys: pytest.CaptureFixture[str], workplace: Path) -> Runner:
    """Run the command line: words in; exit code, stdout and stderr out."""
    return runner(capsys)
