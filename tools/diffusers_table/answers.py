"""What this library answers to a name of diffusers: it has it, takes it for nothing, or refuses."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from itertools import groupby

from kandinsky_core.foreign_names import accepted_names, refused_names
from tools.diffusers_table.libraries import public_names

__all__ = ["HERE", "NO_OP", "REFUSED", "Answer", "Row", "answers_of", "grouped"]

HERE, NO_OP, REFUSED = "here", "no-op", "refused"
_ORDER = (HERE, NO_OP, REFUSED)


@dataclass(frozen=True)
class Answer:
    """What a name is here.

    Attributes:
        state: `HERE`, `NO_OP`, `REFUSED`; None where nothing accounts for the name.
        why: Why it changes nothing, or is refused, and what to do; or what differs.
    """

    state: str | None
    why: str = ""


@dataclass(frozen=True)
class Row:
    """Names that have the same answer.

    Attributes:
        names: The names, sorted.
        where: The classes that have them, in words.
        answer: The answer.
    """

    names: tuple[str, ...]
    where: str
    answer: Answer


def answers_of(kind: type, names: Set[str], reasons: Mapping[str, str]) -> dict[str, Answer]:
    """Return what a class of this library answers to names.

    Args:
        kind: The class.
        names: The names that diffusers' class has.
        reasons: Why names are refused of which no table of the library speaks.
    """
    own, accepted, refused = public_names(kind), accepted_names(kind), refused_names(kind)
    found = {}
    for name in names:
        if name in accepted:
            found[name] = Answer(NO_OP, accepted[name])
        elif name in refused:
            found[name] = Answer(REFUSED, refused[name])
        elif name in own:
            found[name] = Answer(HERE)
        elif name in reasons:
            found[name] = Answer(REFUSED, reasons[name])
        else:
            found[name] = Answer(None)
    return found


def grouped(found: Mapping[tuple[str, str], Answer]) -> list[Row]:
    """Return rows for answers by name and place, in a fixed order.

    Args:
        found: The answers; a key is a name and the classes that have it, in words.
    """

    def order(entry: tuple[tuple[str, str], Answer]) -> tuple[int, str, str]:
        (_, where), answer = entry
        rank = -1 if answer.state is None else _ORDER.index(answer.state)
        return rank, where, answer.why

    rows = []
    for (_, where, _), entries in groupby(sorted(found.items(), key=order), key=order):
        group = list(entries)
        names = tuple(sorted(name for (name, _), _ in group))
        rows.append(Row(names, where, group[0][1]))
    return rows
