"""CI does what the README says, then the slow tests and a newer JAX, and fails if one fails."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SETUP = 'python3 -m venv .venv && .venv/bin/pip install -q --no-compile -e ".[jax,mindspore,test]"'
# In the place of the tests' Python: says how it was called, and fails as it is told.
PYTHON = """#!/bin/sh
echo "called $* with $PYTEST_ADDOPTS"
case "$*" in *"-m slow") exit {slow};; *kandinsky_jax) exit {newer};; *) exit {quick};; esac
"""
# In the place of the system's Python: it installs nothing, or JAX alone.
SYSTEM_PYTHON = f"""#!/bin/sh
[ "$2" = pip ] || exec {sys.executable} "$@"
"""
WITH_JAX = f"""{SYSTEM_PYTHON}
case "$*" in *" jax=="*) mkdir "$6/jax";; esac
"""


def run(
    folder: Path, readme: str, quick: int = 0, slow: int = 0, newer: int | None = None
) -> tuple[int, list[str]]:
    """What CI says and its status, with a Python that runs no test, and maybe no newer JAX."""
    for path, text in (
        (folder / ".ci/run", (ROOT / ".ci/run").read_text(encoding="utf-8")),
        (folder / ".venv/bin/python", PYTHON.format(quick=quick, slow=slow, newer=newer)),
        (folder / "bin/chromedriver", "#!/bin/sh\n"),  # so that no browser is installed
        (folder / "bin/python3", SYSTEM_PYTHON if newer is None else WITH_JAX),
        (folder / "README.md", readme),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    for program in (".venv/bin/python", "bin/chromedriver", "bin/python3"):
        (folder / program).chmod(0o755)
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", str(folder / ".ci/run")],
        capture_output=True,
        text=True,
        env=os.environ | {"PATH": path},
    )
    return done.returncode, done.stdout.splitlines()


def test_ci_runs_the_readmes_test_command_and_the_slow_tests(tmp_path: Path) -> None:
    """With the README's own words, but for the set-up, so that nothing is installed."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme.count(SETUP) == 1
    status, lines = run(tmp_path, readme.replace(SETUP, "true"))
    assert status == 0
    (words,) = re.findall(rf"{re.escape(SETUP)} && \.venv/bin/python (.*)", readme)
    assert re.fullmatch(r"-m pytest -q -n \w+ --dist loadfile", words)
    called = [line for line in lines if line.startswith("called ")]
    also = "with --durations=10"
    assert called == [f"called {words} {also}", f"called {words} -m slow {also}"]
    times = [r"set-up and quick tests: \d+ s", r"slow tests: \d+ s", r"together: \d+ s"]
    for time, line in zip(times, lines[-3:], strict=True):
        assert re.fullmatch(time, line)


@pytest.mark.parametrize(("quick", "slow"), [(1, 0), (0, 1), (5, 0), (0, 5), (2, 3)])
def test_ci_fails_if_either_part_fails(quick: int, slow: int, tmp_path: Path) -> None:
    """Both parts run; pytest leaves with 5 where it found no test."""
    readme = "<!-- test -->\n```bash\ntrue && .venv/bin/python -m pytest\n```\n"
    status, lines = run(tmp_path, readme, quick, slow)
    assert status == 1
    assert sum(line.startswith("called ") for line in lines) == 2
    said = [line for line in lines if "failed with status" in line]
    statuses = {"set-up and quick tests": quick, "slow tests": slow}
    assert said == [f"{name}: failed with status {n}" for name, n in statuses.items() if n]


@pytest.mark.parametrize("newer", [0, 1])
def test_ci_tries_a_newer_jax(newer: int, tmp_path: Path) -> None:
    readme = "<!-- test -->\n```bash\ntrue && .venv/bin/python -m pytest\n```\n"
    status, lines = run(tmp_path, readme, newer=newer)
    assert status == newer
    called = [line for line in lines if line.startswith("called ")]
    assert called[2:] == ["called -m pytest tests/kandinsky_jax with --durations=10"]
    (path,) = re.findall(r"\+ PYTHONPATH=(\S+) \.venv/bin/python", "\n".join(lines))
    assert not Path(path).exists(), "it is gone afterwards"


def test_ci_says_that_it_tried_no_newer_jax(tmp_path: Path) -> None:
    readme = "<!-- test -->\n```bash\ntrue && .venv/bin/python -m pytest\n```\n"
    assert any("0.10.2: left out" in line for line in run(tmp_path, readme)[1])


def test_ci_fails_if_the_set_up_fails(tmp_path: Path) -> None:
    """Then the quick tests do not run; slow ones that an older set-up lets pass hide nothing."""
    readme = "<!-- test -->\n```bash\nfalse && .venv/bin/python -m pytest\n```\n"
    status, lines = run(tmp_path, readme)
    assert status == 1
    assert [line for line in lines if line.startswith("called ")] == [
        "called -m pytest -m slow with --durations=10"
    ]
