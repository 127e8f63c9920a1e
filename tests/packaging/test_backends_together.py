"""The environment in which JAX, MindSpore and PyTorch live together.

mindone needs NumPy 1, which takes an older JAX, so this is no part of the newest environment that
the other tests run in. The MindSpore tests, which are left out there, run here.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_mindspore_tests_pass_beside_jax_and_pytorch(tmp_path: Path) -> None:
    clone, python = tmp_path / "clone", str(tmp_path / "env" / "bin" / "python")
    subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "env")], check=True)
    install = [python, "-m", "pip", "install", "-q", "-e", ".[jax,mindspore,test]"]
    subprocess.run(install, cwd=clone, check=True)
    tests = sorted(
        str(path.relative_to(clone)) for path in clone.glob("tests/*/test_*mindspore*.py")
    )
    done = subprocess.run(
        [python, "-m", "pytest", "-q", *tests], cwd=clone, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    last = done.stdout.splitlines()[-1]
    assert re.search(r"\d+ passed", last), last
    assert "skipped" not in last, last
