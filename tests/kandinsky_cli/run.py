"""The command line, called in this process."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kandinsky_cli.main import main

__all__ = ["Outcome", "Runner", "runner"]

Outcome = tuple[int, str, str]
Runner = Callable[..., Outcome]


def runner(capsys: pytest.CaptureFixture[str]) -> Runner:
    """Return a function of words that returns exit code, stdout and stderr."""

    def run(*words: object) -> Outcome:
        capsys.readouterr()
        try:
            code = main([str(word) for word in words])
        except SystemExit as stop:  # how argparse ends
            code = int(stop.code or 0)
        return code, *capsys.readouterr()

    return run
