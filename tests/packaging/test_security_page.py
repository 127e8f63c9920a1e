"""The page on security says of every budget what it is."""

from __future__ import annotations

import re

from kandinsky_core import budgets
from tests.packaging.house import ROOT
from tools.fuzz.drive import SECONDS
from tools.fuzz.table import FORMATS

UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
ROW = re.compile(r"^\| `([A-Z_]+)` \| ([\d,]+)(?: (KiB|MiB|GiB))? \|", re.MULTILINE)


def test_the_table_has_every_budget_and_its_value() -> None:
    text = (ROOT / "docs/security.md").read_text(encoding="utf-8")
    table = {
        name: int(number.replace(",", "")) * UNITS.get(unit, 1)
        for name, number, unit in ROW.findall(text)
    }
    assert table == {name: getattr(budgets, name) for name in budgets.__all__}


def test_the_page_has_the_limits_of_the_fuzzer() -> None:
    text = " ".join((ROOT / "docs/security.md").read_text(encoding="utf-8").split())
    limits = {entry.memory >> 20 for name, entry in FORMATS.items() if name != "pictures"}
    assert limits == {512}
    assert f"within {SECONDS:g} seconds, with 512 MiB more than the imports take" in text
    assert f"({FORMATS['pictures'].memory >> 30} GiB more for pictures)" in text
