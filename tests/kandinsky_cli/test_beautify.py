"""`kandinsky beautify` with a language model that is none."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from kandinsky_core.texts import beautify
from tests.kandinsky_cli.run import Runner

ANSWER = "A tabby cat,\nby the fire \u2013 café"


@pytest.fixture(autouse=True)
def loads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What was asked to be loaded."""
    found: list[tuple[Any, ...]] = []

    def answer(_: str, **__: Any) -> Any:
        sys.stdout.write("noise of a library\n")
        return [{"generated_text": ANSWER}]

    def load(*arguments: Any) -> Any:
        found.append(arguments)
        return answer

    monkeypatch.setattr(beautify, "find_spec", lambda _: object())
    monkeypatch.setattr(beautify, "_text_generation", load)
    monkeypatch.setenv("TRANSFORMERS_VERBOSITY", "error")  # put back what the command sets
    return found


def test_prints_one_line(kandinsky: Runner, loads: list[tuple[Any, ...]]) -> None:
    code, output, error = kandinsky("beautify", "a cat")
    assert (code, output) == (0, "A tabby cat, by the fire \u2013 café\n")
    assert error == "noise of a library\n"
    assert loads == [("Intel/neural-chat-7b-v3-1", None, None)]


def test_options_as_json(kandinsky: Runner, loads: list[tuple[Any, ...]]) -> None:
    words = ["--model", "a/b", "--device", "cuda:1", "--dtype", "bfloat16", "--max-words", "3"]
    code, output, _ = kandinsky("beautify", "a cat", *words, "--json")
    assert code == 0
    expected = {"prompt": "a cat", "beautified": "A tabby cat,", "model": "a/b"}
    assert json.loads(output) == expected
    assert loads == [("a/b", "cuda:1", "bfloat16")]


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ([], "the following arguments are required: PROMPT"),
        ([""], "prompt='': give a text to expand"),
        (["caf\udce9"], "is no valid Unicode text"),
        (["a", "--max-words", "0"], "--max-words=0: give a whole number of at least 1"),
        (["a", "--max-words", "x"], "argument --max-words: invalid int value: 'x'"),
        (["a", "--dtype", "int8"], "dtype 'int8' is not supported: choose float32"),
        (["a", "--model="], "model='': give a hub id or a folder"),
    ],
)
def test_mistakes_are_told_in_one_line_before_loading(
    kandinsky: Runner, loads: list[tuple[Any, ...]], words: list[str], part: str
) -> None:
    code, output, error = kandinsky("beautify", *words)
    assert (code, output, error.count("\n")) == (2, "", 1)
    assert error.startswith("kandinsky beautify: error: ")
    assert part in error
    assert loads == []


def test_names_its_extra(
    kandinsky: Runner, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beautify, "find_spec", lambda _: None)
    code, output, error = kandinsky("beautify", "a cat")
    assert (code, output) == (2, "")
    assert error == (
        "kandinsky beautify: error: a language model needs torch and transformers, not installed: "
        "pip install 'kandinsky-anywhere[beautify]'\n"
    )
