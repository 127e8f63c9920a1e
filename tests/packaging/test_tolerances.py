"""The table of tolerances says what the tests allow."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support.tolerances import TOLERANCES

TESTS = Path(__file__).parents[1]
SOURCES = {
    path: path.read_text(encoding="utf-8")
    for room in ("parity", "both_backends")
    for path in sorted((TESTS / room).glob("test_*.py"))
}


def test_what_was_measured_is_allowed() -> None:
    for name, row in TOLERANCES.items():
        assert row.measured is None or 0 < row.measured <= row.allowed, name


def test_tests_take_every_tolerance_from_the_table() -> None:
    taken = {name for text in SOURCES.values() for name in re.findall(r'allowed\("(.+?)"\)', text)}
    assert taken == set(TOLERANCES)


def test_no_test_has_a_tolerance_of_its_own() -> None:
    bare = re.compile(r"(?:<=?|atol=|rtol=|rel=|(?:TOLERANCE|NOISING|BETWEEN)\w* =) ?\d[\d.]*e-\d+")
    found = [(path.name, number) for path, text in SOURCES.items() for number in bare.findall(text)]
    assert found == []
