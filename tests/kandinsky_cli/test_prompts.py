"""Prompts from words, options, a file and standard input, and the pictures of each."""

from __future__ import annotations

import io
import json
import os
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from kandinsky_cli.commands import generate
from kandinsky_cli.repeat_command import command_for
from kandinsky_core import budgets, read_metadata
from tests.kandinsky_cli.run import Runner
from tests.support.fakes import combined_pipeline

FEW = ("--steps", "2", "--prior-steps", "2")


@pytest.fixture(autouse=True)
def loads(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The pipelines of NumPy that were loaded; their pictures depend on prompt and seed."""
    found: list[Any] = []

    def load(_: Any) -> Any:
        found.append(combined_pipeline())
        return found[-1]

    monkeypatch.setattr(generate, "load", load)
    return found


def stdin(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_each_line_of_a_file_gets_pictures_whose_command_makes_each_alone(
    kandinsky: Runner, workplace: Path, loads: list[Any]
) -> None:
    file = workplace / "prompts.txt"
    file.write_bytes("\ufeffa red circle\r\n\r\n  \n-Ćafé 😀\u2028圆\t!  \na red circle".encode())
    words = ["--prompt-file", "prompts.txt", "-s", 4, 9, *FEW, "-o", "out", "--json"]
    code, output, error = kandinsky("generate", *words)
    assert (code, error) == (0, "")
    assert len(loads) == 1
    made = json.loads(output)["images"]
    prompts = ["a red circle", "-Ćafé 😀\u2028圆\t!", "a red circle"]
    assert [(one["prompt"], one["seed"]) for one in made] == [
        (prompt, seed) for prompt in prompts for seed in (4, 9)
    ]
    expected = [f"kandinsky-{number}-{seed}.png" for number in (1, 2, 3) for seed in (4, 9)]
    assert names(workplace / "out") == expected
    for one in made:
        alone = workplace / "alone.png"
        again = shlex.split(str(command_for(one)))[1:]
        assert kandinsky(*again[:-2], "--output", alone, *again[-2:])[0] == 0
        assert read_metadata(alone) == {key: one[key] for key in one if key != "path"}
        alone.unlink()


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["-"], "a\nb\n"),
        (["-p", "-"], "a\nb\n"),
        (["--prompt-file", "-"], "a\n\nb"),
        (["-p", "a", "--prompt", "b"], ""),
    ],
)
def test_other_places_of_several_prompts(
    kandinsky: Runner,
    workplace: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    text: str,
) -> None:
    stdin(monkeypatch, text.encode())
    code, output, _ = kandinsky("generate", *words, *FEW, "-s", 7, "-q", "-o", "star.png")
    assert (code, output) == (0, "star-1.png\nstar-2.png\n")
    assert [read_metadata(workplace / f"star-{number}.png")["prompt"] for number in (1, 2)] == [
        "a",
        "b",
    ]


def test_short_options(kandinsky: Runner, workplace: Path) -> None:
    words = ["-p", "a", "-s", 3, "-n", 2, "-o", "x.webp", *FEW]
    assert kandinsky("generate", *words)[0] == 0
    assert names(workplace) == ["x-3.webp", "x-4.webp"]
    assert read_metadata(workplace / "x-4.webp")["seed"] == 4


def test_numbered_files_replace_nothing(kandinsky: Runner, workplace: Path) -> None:
    (workplace / "x-1.png").write_bytes(b"old")
    words = ["-p", "a", "-p", "b", "-s", 3, *FEW, "-o", "x.png", "--overwrite"]
    assert kandinsky("generate", *words)[0] == 0
    assert names(workplace) == ["x-1-2.png", "x-1.png", "x-2.png"]
    assert (workplace / "x-1.png").read_bytes() == b"old"


def test_numbers_of_many_prompts_sort_as_they_stand(kandinsky: Runner, workplace: Path) -> None:
    words = [word for letter in "abcdefghij" for word in ("-p", letter)]
    assert kandinsky("generate", *words, "-s", 3, *FEW)[0] == 0
    found = [read_metadata(workplace / name)["prompt"] for name in names(workplace)]
    assert found == list("abcdefghij")


FILES = [
    (b"", "holds no prompt: write one on each line"),
    (b"\n \r\n", "holds no prompt: write one on each line"),
    (b"a\nb\xff\n", "line 2 is no text in UTF-8: save the file in that encoding"),
    ("a\nb".encode("utf-16"), "line 1 is no text in UTF-8"),
    (b"a\n\nb\0c", "line 3 holds the control character U+0000"),
    (b"a\x1b[2J", "line 1 holds the control character U+001B"),
    (b"a\n - \n", "line 2 is -, which stands for standard input: leave it out"),
    (b"a\rb", "line 1 holds the control character U+000D"),
    (b"a\n" + b"b" * 10_001, "line 2 has 10,001 characters, more than the 10,000 of a prompt"),
    (b"a\n" * 32_769, "holds 32,769 prompts, more than the 32,768 that are read"),
    (b" " * (budgets.PROMPT_FILE_BYTES + 1), "more than the 8,388,608"),
]


@pytest.mark.parametrize(("content", "said"), FILES)
@pytest.mark.parametrize("place", ["file", "-"])
def test_files_that_are_refused(
    kandinsky: Runner,
    workplace: Path,
    monkeypatch: pytest.MonkeyPatch,
    loads: list[Any],
    place: str,
    content: bytes,
    said: str,
) -> None:
    (workplace / "file").write_bytes(content)
    stdin(monkeypatch, content)
    code, output, error = kandinsky("generate", "--prompt-file", place)
    assert (code, output, error.count("\n")) == (2, "", 1)
    assert error.startswith(f"kandinsky generate: error: --prompt-file {place}")
    assert said in error
    assert names(workplace) == ["file"]
    assert not loads


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "the following arguments are required: PROMPT, or --prompt-file FILE in its place"),
        (["a", "-p", "b"], "PROMPT and --prompt are both given: give one of them"),
        (["a", "--prompt-file", "-"], "PROMPT and --prompt-file are both given"),
        (["-p", "a", "-p", "-"], "--prompt - is standard input: give no other prompt"),
        (["--prompt-file", "none.txt"], "--prompt-file none.txt: No such file or directory"),
        (["--prompt-file", "."], "--prompt-file .: it is no regular file, but a folder"),
        (["--prompt-file="], "--prompt-file is empty: give a value"),
        (["a", "-o", "a.jpg", "--quality", "0"], "--quality=0: give a whole number from 1 to 100"),
        (["a", "--quality", "90"], "--quality=90: PNG loses nothing and has no quality"),
        (["a", "-o", "a.webp", "--width", "16384"], "WEBP holds at most 16,383 pixels a side"),
        (["圆" * 10_500, "-o", "a.jpg"], "--output: the metadata cannot be written: as 67,1"),
        (["a", "--preview-every", "0"], "--preview-every=0: give a whole number of at least 1"),
        (["a", "--preview-file", "p.png"], "--preview-file p.png: say how often by"),
        (["a", "--preview-every", "1", "--preview-file", "p.gif"], "p.gif: pictures are written"),
        (["a", "-q", "-v"], "argument -v/--verbose: not allowed with argument -q/--quiet"),
    ],
)
def test_words_that_are_refused(
    kandinsky: Runner, workplace: Path, loads: list[Any], words: list[str], said: str
) -> None:
    code, output, error = kandinsky("generate", *words)
    assert (code, output, error.count("\n")) == (2, "", 1)
    assert said in error
    assert not loads
    assert not names(workplace)


def test_closed_standard_input(
    kandinsky: Runner, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    code, _, error = kandinsky("generate", "-")
    assert code == 2
    assert "PROMPT -: standard input is closed" in error


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_no_file(kandinsky: Runner, workplace: Path) -> None:
    os.mkfifo(workplace / "pipe")
    code, _, error = kandinsky("generate", "--prompt-file", "pipe")
    assert code == 2
    assert "it is no regular file, but a pipe" in error
