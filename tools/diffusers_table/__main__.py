"""Writes the tables into docs/diffusers.md, between its two marks.

python -m tools.diffusers_table
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from tools.diffusers_table.page import MARKS, page, unaccounted
from tools.diffusers_table.sections import sections

PAGE = Path(__file__).parents[2] / "docs" / "diffusers.md"


def main(target: Path = PAGE) -> None:
    """Inspect both libraries, and replace the old tables by the new ones."""
    made = list(sections())
    start, end = (re.escape(mark) for mark in MARKS)
    text, count = re.subn(
        f"(?s)(?<={start}\\n).*(?={end})",
        lambda _: page(made),
        target.read_text(encoding="utf-8"),
    )
    if count != 1:
        raise SystemExit(f"{target} does not hold the marks {' and '.join(MARKS)}")
    target.write_text(text, encoding="utf-8")
    left = unaccounted(made)
    if left:
        raise SystemExit("\n".join(["nothing accounts for:", *left]))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
