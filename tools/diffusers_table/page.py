"""The tables as Markdown."""

from __future__ import annotations

from collections.abc import Iterable

from tools.diffusers_table.answers import HERE, Row
from tools.diffusers_table.sections import Section

__all__ = ["MARKS", "page", "unaccounted"]

MARKS = ("<!-- diffusers_table -->", "<!-- end of diffusers_table -->")
_HEADER = ("diffusers' name", "of", "here", "why, and what to do instead")


def page(made: Iterable[Section]) -> str:
    """Return all tables; names that nothing accounts for are marked with `?`."""
    return "".join(f"\n### {each.title}\n\n{_table(each.rows)}" for each in made) + "\n"


def unaccounted(made: Iterable[Section]) -> list[str]:
    """Return the names that nothing accounts for, each with its table."""
    return [
        f"{each.title}: {', '.join(row.names)} ({row.where})"
        for each in made
        for row in each.rows
        if row.answer.state is None
    ]


def _table(rows: Iterable[Row]) -> str:
    lines = [_HEADER, ("---",) * len(_HEADER), *map(_cells, rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cells(row: Row) -> tuple[str, ...]:
    state = row.answer.state or "?"
    names = ", ".join(f"`{name}`" for name in row.names)
    shown = state if state == HERE else f"**{state}**"
    return names, row.where, shown, row.answer.why.replace("|", "\\|")
