"""What the command line prints: fit for a terminal, in any encoding, with or without streams."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from kandinsky_cli.commands import generate
from kandinsky_cli.main import main
from kandinsky_core.denoising.progress_bars import progress
from kandinsky_core.pictures.metadata import save_image
from kandinsky_core.terminal import LONGEST_MESSAGE
from tests.kandinsky_cli.run import Runner
from tests.support.fakes import combined_pipeline

PROMPT = "日本é😀"
FORGED = "a\ncommand: rm -rf ~\x1b[2J\r\u202e\x9b\u2028"


@pytest.fixture
def picture(workplace: Path) -> Path:
    """A picture whose metadata would forge a command and rewrite the screen."""
    metadata = {"program": "kandinsky generate", "prompt": FORGED, "seed": 1, FORGED: [FORGED]}
    path = workplace / "a.png"
    save_image(Image.new("RGB", (2, 2)), path, metadata)
    return path


def encoded(monkeypatch: pytest.MonkeyPatch, encoding: str) -> tuple[io.BytesIO, io.BytesIO]:
    """Replace the streams by strict ones of an encoding, and return what is beneath them."""
    beneath = io.BytesIO(), io.BytesIO()
    for name, raw in zip(("stdout", "stderr"), beneath, strict=True):
        monkeypatch.setattr(sys, name, io.TextIOWrapper(raw, encoding, errors="strict"))
    return beneath


def test_metadata_forges_no_line(kandinsky: Runner, picture: Path) -> None:
    code, output, error = kandinsky("info", picture)
    assert (code, error) == (0, "")
    assert all(line.isprintable() for line in output.split("\n"))
    commands = [line for line in output.split("\n") if line.startswith("command:")]
    assert len(commands) == 1
    assert r"$'a\012command: rm -rf ~\033[2J" in commands[0]


def test_json_of_metadata_has_no_raw_control_characters(kandinsky: Runner, picture: Path) -> None:
    code, output, _ = kandinsky("info", picture, "--json")
    assert code == 0
    assert all(line.isprintable() for line in output.split("\n"))
    found = json.loads(output)
    assert found["prompt"] == FORGED
    assert FORGED in shlex.split(found["command"])


def test_words_of_the_user_in_errors(kandinsky: Runner, workplace: Path) -> None:
    for words in (
        ["generate", "a", "--steps", FORGED],
        ["generate", "a", f"--{FORGED}"],
        ["generate", "a", "--model", FORGED],
        ["generate", "a", "--output", f"{FORGED}.jpg"],
        [FORGED],
    ):
        code, output, error = kandinsky(*words)
        assert (code, output) == (2, "")
        assert error[:-1].isprintable()


def test_a_prompt_of_a_thousand_words_is_cut(kandinsky: Runner, workplace: Path) -> None:
    prompt = "word " * 1000
    for words in (
        ["generate", prompt + "\udce9"],
        ["info", "a", prompt],
        ["generate", "a", prompt],
    ):
        code, _, error = kandinsky(*words)
        assert code == 2
        assert re.search(r"\.\.\. \(\d,\d{3} characters left out\) \.\.\.", error)
        assert len(error) < LONGEST_MESSAGE + 100


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_consoles_that_lack_a_letter(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    output, error = encoded(monkeypatch, encoding)
    monkeypatch.setattr(generate, "load", lambda _: combined_pipeline())
    words = ["generate", PROMPT, "--seed", "1", "--steps", "2", "--prior-steps", "2"]
    assert main([*words, "--output", f"{PROMPT}.png"]) == 0
    assert rb"\u65e5\u672c" in output.getvalue()
    assert main(["info", f"{PROMPT}.png"]) == 0
    output.truncate(0)
    assert main(["info", f"{PROMPT}.png", "--json"]) == 0
    assert json.loads(output.getvalue().strip(b"\0").decode(encoding))["prompt"] == PROMPT
    assert error.getvalue() == b""
    assert main(["generate", "a", "--lora", PROMPT]) == 2
    sys.stderr.flush()
    assert rb"no LoRA '\u65e5\u672c" in error.getvalue()


@pytest.mark.parametrize("missing", [("stdout",), ("stderr",), ("stdout", "stderr")])
def test_programs_without_a_window(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, missing: tuple[str, ...]
) -> None:
    for name in missing:
        monkeypatch.setattr(sys, name, None)
    monkeypatch.setattr(generate, "load", lambda _: combined_pipeline())
    few = ("--steps", "2", "--prior-steps", "2")
    assert main(["generate", "a", *few]) == 0
    assert len(list(workplace.iterdir())) == 1
    assert main(["generate", "a", "--dtype", "int8"]) == 2
    with pytest.raises(SystemExit) as stop:
        main(["generate"])
    assert stop.value.code == 2
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert not stop.value.code
    for name in missing:
        assert getattr(sys, name) is None


def test_closed_streams_count_as_missing(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stdout", closed)
    assert main(["generate", "a", "--dtype", "int8"]) == 2


@pytest.mark.parametrize("settings", [{}, {"disable": False}, {"desc": "steps"}])
def test_progress_bars_without_a_window(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    with progress(2, settings) as update:
        update()
    file = io.StringIO()
    with progress(2, {"file": file}) as update:
        update()
    assert "1/2" in file.getvalue()


@pytest.mark.skipif(os.name == "nt", reason="shells of Windows close streams in another way")
@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("info shapes >&-", 0, ""),
        ("info shapes >/dev/full", 2, "kandinsky info: error: [Errno 28] No space left on device"),
    ],
)
def test_outputs_that_take_nothing(line: str, code: int, said: str) -> None:
    if "/dev/full" in line and not Path("/dev/full").exists():
        pytest.skip("this system has no full device")
    command = f"{shlex.quote(sys.executable)} -m kandinsky_cli.main {line}"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.strip()) == (code, said)
