"""The fuzzer itself: cases are the same for the same seed, and what goes wrong is seen."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from random import Random
from typing import Any, ClassVar

import pytest

from kandinsky_core.errors import CheckpointError
from tools.fuzz import drive
from tools.fuzz.cases.case import Case, Difference, Format, ReferenceRefusesError, seeded
from tools.fuzz.summary import Summary, table
from tools.fuzz.table import FORMATS
from tools.fuzz.worker import run_case

ROOT = Path(__file__).parents[2]
SEEDS = range(20)
OUTCOMES = {"accepted", "refused", "failed"}
# These wait for ever on a pipe or take gigabytes where a reader has a fault, which would stop
# this process; the slow test runs them in workers.
IN_WORKERS_ONLY = {"pictures", "arrays", "metadata", "readme", "folders"}


@pytest.mark.parametrize("name", FORMATS)
def test_a_seed_makes_one_case(name: str) -> None:
    first, second = FORMATS[name](), FORMATS[name]()
    digests = [first.make(seeded(name, seed)).digest() for seed in SEEDS]
    assert digests == [second.make(seeded(name, seed)).digest() for seed in SEEDS]
    assert len(set(digests)) > len(SEEDS) / 2


@pytest.mark.parametrize("name", sorted(set(FORMATS) - IN_WORKERS_ONLY))
def test_a_few_cases_run(name: str, tmp_path: Path) -> None:
    place = tmp_path / "case"
    place.mkdir()
    for seed in range(5):
        # torch takes two seconds to import
        result = run_case(FORMATS[name](), seed, place, limited=False, compared=name != "pickles")
        assert result["outcome"] in OUTCOMES
        assert result["kind"] != "fault of the fuzzer", result
    assert list(place.iterdir()) == []


class Told(Format):
    """A format whose reader does what it is told."""

    name: ClassVar[str] = "told"

    def __init__(self, reads: Any, compares: Any = None, *, strict: bool = False) -> None:
        self.reads, self.compares = reads, compares
        type(self).strict = strict

    def warm(self) -> None:
        """There is nothing to import."""

    def make(self, random: Random) -> Case:
        return Case({"file": b"content"}, ["as it was told"])

    def read(self, case: Case, folder: Path) -> Any:
        assert (folder / "file").read_bytes() == b"content"
        if self.reads is not None:
            raise self.reads

    def compare(self, found: Any, case: Case, folder: Path) -> None:
        if self.compares is not None:
            raise self.compares


@pytest.mark.parametrize(
    ("tested", "outcome", "kind"),
    [
        (Told(None), "accepted", ""),
        (Told(CheckpointError("no")), "refused", "CheckpointError"),
        (Told(CheckpointError("n\ro")), "failed", "message with control characters"),
        (Told(CheckpointError("n" * 3000)), "failed", "message too long"),
        (Told(KeyError("x")), "failed", "untyped KeyError"),
        (Told(RecursionError()), "failed", "untyped RecursionError"),
        (Told(MemoryError()), "failed", "untyped MemoryError"),
        (Told(SystemExit(3)), "failed", "untyped SystemExit"),
        (Told(Difference("x")), "failed", "difference"),
        (Told(None, Difference("x")), "failed", "difference"),
        (Told(None, ValueError("x")), "failed", "fault of the fuzzer"),
        (Told(None, ReferenceRefusesError("x")), "accepted", "not by the reference"),
    ],
)
def test_each_outcome_is_told(tested: Format, outcome: str, kind: str, tmp_path: Path) -> None:
    if kind.startswith("message"):
        # as an error says it whose own text is not made fit for a terminal
        tested.reads.__class__ = type("Raw", (CheckpointError,), {"__str__": _as_given})
    place = tmp_path / "case"
    place.mkdir()
    result = run_case(tested, 1, place, limited=False)
    assert (result["outcome"], result["kind"]) == (outcome, kind)
    assert result["how"] == ["as it was told"]


def _as_given(error: BaseException) -> str:
    return str(error.args[0])


def test_a_strict_format_refuses_what_its_reference_refuses(tmp_path: Path) -> None:
    tested = Told(None, ReferenceRefusesError("x"), strict=True)
    assert run_case(tested, 1, tmp_path, limited=False)["kind"] == "difference"


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "died of signal 9"),
        ("raise SystemExit(3)", "ended with status 3"),
        ("import time; time.sleep(60)", "hangs"),
    ],
)
def test_a_worker_that_dies_or_hangs_is_seen(
    code: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = "import os, sys; os.write(int(sys.argv[-1]), b'{\"begin\": 7}\\n')\n"
    start = subprocess.Popen

    def other_worker(words: list[str], **options: Any) -> Any:
        return start([sys.executable, "-S", "-c", begin + code, *words[3:]], **options)

    monkeypatch.setattr(drive.subprocess, "Popen", other_worker)
    monkeypatch.setattr(drive, "SECONDS", 0.3)
    found = list(drive.results("readme", 7, 1, time.monotonic() + 30))
    assert [(result["seed"], result["outcome"], result["kind"]) for result in found] == [
        (7, "failed", kind)
    ]


def test_the_table_counts_each_outcome() -> None:
    summary = Summary("readme")
    case = {"seed": 4, "seconds": 0.5, "peak": 2_000_000, "said": "[a.py:3] x", "how": ["cut"]}
    assert summary.add({**case, "outcome": "accepted", "kind": ""}) is None
    assert summary.add({**case, "outcome": "refused", "kind": "ConfigError"}) is None
    line = summary.add({**case, "outcome": "failed", "kind": "untyped KeyError"})
    assert line == "readme:4: untyped KeyError: [a.py:3] x (cut)"
    printed = "\n".join(table([summary]))
    for shown in ("3", "0.50 s", "2 MB", "ConfigError 1", "untyped KeyError [a.py:3]"):
        assert shown in printed


@pytest.mark.slow(seconds=20)
def test_some_seconds_of_the_fuzzer_finds_nothing() -> None:
    words = [sys.executable, "-m", "tools.fuzz", "--seed", "1", "--cases", "250", "--minutes", "9"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    counts = [int(row.split()[1].replace(",", "")) for row in done.stdout.splitlines()[1:14]]
    assert counts == [250] * len(FORMATS)
