"""JSON from outside: budgets, numbers that JSON lacks, and what is no file."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from kandinsky_core.budgets import JSON_BYTES
from kandinsky_core.checkpoints.json_files import parse_json, read_json
from kandinsky_core.errors import CheckpointError


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": ' + "[" * 100_000, "nested"),
        ('{"a": ' + "[" * 70 + "]" * 70 + "}", "nested more than 64 deep"),
        ('{"a":' * 70 + "1" + "}" * 70, "nested more than 64 deep"),
        ('{"a": NaN}', "no finite number"),
        ('{"a": -Infinity}', "no finite number"),
        ('{"a": 1e999}', "no finite number"),
        ('{"a": ' + "9" * 101 + "}", "101 digits"),
        ('{"a": ' + "9" * 10_000 + "}", "10000 digits"),
        ("", "not JSON"),
        ("[1]", "not a JSON object"),
    ],
)
def test_refused_content(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match=said) as caught:
        read_json(tmp_path / "config.json")
    assert "\n" not in str(caught.value)


def test_infinity_where_it_is_allowed() -> None:
    assert parse_json("[-Infinity, 1.5, 7]", infinity=True) == [float("-inf"), 1.5, 7]
    with pytest.raises(ValueError, match="NaN"):
        parse_json("[NaN]", infinity=True)


def test_a_file_over_its_budget_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    with path.open("wb") as file:
        file.truncate(JSON_BYTES + 1)  # takes no room on the disk
    with pytest.raises(CheckpointError, match=f"more than the {JSON_BYTES:,} that are read"):
        read_json(path)


@pytest.mark.skipif(sys.platform == "win32", reason="has no such files")
def test_pipes_devices_and_folders_are_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "zero.json").symlink_to("/dev/zero")
    (tmp_path / "folder.json").mkdir()
    for name in ("pipe", "zero", "folder"):
        with pytest.raises(CheckpointError, match="no regular file"):
            read_json(tmp_path / f"{name}.json")
