"""The table of tolerances says what the tests allow."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.tolerances import TOLERANCES, allowed

PAGE = Path(__file__).parents[2] / "docs" / "parity.md"
# A row of the page -> what its last column's numbers are the limits of.
ROWS = {
    "CLIP text, CLIP image": ["mindspore clip"],
    "prior": ["mindspore prior"],
    "UNet": ["mindspore unet"],
    "MoVQ, encoder and decoder": ["mindspore movq"],
    "picture of `shapes`, in [0, 1]": ["picture"],
    "picture of small random weights": ["picture"],
    "the same from pictures, masks and hints": ["picture"],
    "Kandinsky 2.1: text encoder, UNet": ["2.1 text", "2.1 unet"],
    "Kandinsky 2.1: picture of small random weights": ["2.1 picture"],
    "Kandinsky 3: T5, UNet": ["3 t5", "3 unet"],
    "Kandinsky 3: picture of small random weights, all tasks": ["3 picture"],
}
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
    others = [path for path in TESTS.rglob("test_*.py") if path != Path(__file__)]
    texts = [path.read_text(encoding="utf-8") for path in others]
    taken = {name for text in texts for name in re.findall(r'allowed\("(.+?)"\)', text)}
    assert taken == set(TOLERANCES)


def test_no_test_has_a_tolerance_of_its_own() -> None:
    bare = re.compile(r"(?:<=?|atol=|rtol=|rel=|(?:TOLERANCE|NOISING|BETWEEN)\w* =) ?\d[\d.]*e-\d+")
    found = [(path.name, number) for path, text in SOURCES.items() for number in bare.findall(text)]
    assert found == []


def numbers(cell: str) -> list[float]:
    return [float(number) for number in re.findall(r"[\d.]+e-\d+", cell)]


@pytest.mark.parametrize("row", ROWS)
def test_the_page_of_parity_allows_what_the_tests_allow(row: str) -> None:
    """Both backends have a column of what was measured and one of what is allowed."""
    _, section = PAGE.read_text(encoding="utf-8").split("## What the tests compare")
    (cells,) = [
        list(map(numbers, line.split(" | ")[1:]))
        for line in section.splitlines()
        if line.startswith(f"| {row} |")
    ]
    for backend, measured, limits in (("jax", *cells[:2]), ("mindspore", *cells[2:])):
        assert limits == [allowed(name.replace("mindspore", backend)) for name in ROWS[row]]
        assert max(measured) <= max(limits)
