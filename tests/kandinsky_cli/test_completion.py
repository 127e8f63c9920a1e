"""`kandinsky completion`: the script that bash really completes with."""

from __future__ import annotations

import builtins
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.kandinsky_cli.run import Runner

BASH = shutil.which("bash")
# What bash does at a press of the tab key, at the end of the words that it is given.
TAB = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
function=$(complete -p kandinsky | sed 's/.* -F \\([^ ]*\\) .*/\\1/')
$function kandinsky "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def script(kandinsky: Runner, tmp_path: Path) -> Path:
    pytest.importorskip("shtab")
    code, output, error = kandinsky("completion", "bash")
    assert (code, error) == (0, "")
    path = tmp_path / "kandinsky.bash"
    path.write_text(output)
    return path


@pytest.mark.skipif(BASH is None, reason="there is no bash")
def test_bash_completes(script: Path, workplace: Path) -> None:
    assert BASH is not None
    (workplace / "picture.png").touch()
    (workplace / "pictures").mkdir()
    for words, expected in (
        (["ge"], {"generate"}),
        (["generate", "--preview-"], {"--preview-every", "--preview-file"}),
        (["generate", "a", "--dtype", "b"], {"bfloat16"}),
        (["generate", "--scheduler", "dpm++-"], {"dpm++-karras", "dpm++-sde", "dpm++-single"}),
        (["img2img", "a", "--image", "pic"], {"picture.png", "pictures"}),
        (["generate", "a", "-o", "picture."], {"picture.png"}),
        (["generate", "a", "--model", "pic"], {"pictures"}),
        (["completion", "z"], {"zsh"}),
    ):
        command = [BASH, "-c", TAB, "tab", str(script), "kandinsky", *words]
        done = subprocess.run(command, cwd=workplace, capture_output=True, text=True, check=True)
        assert set(done.stdout.split()) == expected, (words, done.stderr)


@pytest.mark.parametrize("shell", ["zsh", "fish", "tcsh"])
def test_scripts_of_other_shells_name_the_commands(kandinsky: Runner, shell: str) -> None:
    pytest.importorskip("shtab")
    code, output, error = kandinsky("completion", shell)
    assert (code, error) == (0, "")
    assert "interpolate" in output
    assert "--preview-every" in output or "preview-every" in output


def test_without_shtab(kandinsky: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def missing(name: str, *rest: Any, **settings: Any) -> Any:
        if name == "shtab":
            raise ModuleNotFoundError(name)
        return real(name, *rest, **settings)

    monkeypatch.setattr(builtins, "__import__", missing)
    code, output, error = kandinsky("completion", "bash")
    assert (code, output) == (2, "")
    assert "pip install 'kandinsky-anywhere[completion]'" in error


def test_unknown_shell(kandinsky: Runner) -> None:
    code, _, error = kandinsky("completion", "cmd")
    assert code == 2
    assert "invalid choice: 'cmd'" in error
