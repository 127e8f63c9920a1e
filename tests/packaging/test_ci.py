"""CI does what the README says."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_ci_runs_the_readmes_test_command(tmp_path: Path) -> None:
    """With `bash -c` replaced by an echo, so that nothing is installed."""
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    start = "bash -euo pipefail -c"
    assert script.count(start) == 1
    dry = tmp_path / ".ci" / "run"
    dry.parent.mkdir()
    dry.write_text(script.replace(start, "printf %s"), encoding="utf-8")
    (tmp_path / "README.md").write_bytes((ROOT / "README.md").read_bytes())
    done = subprocess.run(["bash", str(dry)], capture_output=True, text=True, check=True)
    setup = 'python3 -m venv .venv && .venv/bin/pip install -q -e ".[jax,mindspore,test]"'
    command = f"{setup} && .venv/bin/python -m pytest -q -n 2 --dist loadfile"
    assert done.stdout.splitlines()[-1] == command
