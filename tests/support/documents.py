"""The code samples of public documents, as their readers see them: in sections, and in tabs."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Sample", "Thread", "samples", "threads"]

# A heading of a section, a tab's beginning or end, or a block of code, wherever they stand: the
# lines of one document were joined.
_PIECE = re.compile(
    r"(?s)(?:(?<=\n)|(?<=\A)|(?<= ))##[ ](?P<section>[^\n`#]{1,60})"
    r"|<hfoption id=\"(?P<tab>[^\"]+)\">|(?P<end></hfoption>)"
    r"|(?P<quote>> )?```(?P<language>\w*)(?P<code>.*?)```"
)
_LANGUAGES = ("py", "python", "diff")


@dataclass(frozen=True)
class Sample:
    """One block of code.

    Attributes:
        section: The heading above it.
        tab: The tab that it lies in, such as `Kandinsky 2.1`; None is outside of tabs.
        line: The line of the document where it begins.
        code: Its Python, with its lines restored.
    """

    section: str
    tab: str | None
    line: int
    code: str


@dataclass(frozen=True)
class Thread:
    """The samples of a section that a reader of one tab types, one after the other."""

    section: str
    tab: str | None
    samples: tuple[Sample, ...]


def samples(document: Path) -> list[Sample]:
    """Every block of Python of a document; additions of a diff are taken as made.

    A shell's line, which installs something, is left out whatever its block says.
    """
    text = document.read_text(encoding="utf-8")
    found, section, tab = [], "", None
    for piece in _PIECE.finditer(text):
        if piece["section"]:
            section = piece["section"].strip()
        elif piece["tab"] or piece["end"]:
            tab = piece["tab"]
        elif piece["language"] in _LANGUAGES and not piece["code"].strip().startswith("pip "):
            line = text.count("\n", 0, piece.start()) + 1
            found.append(Sample(section, tab, line, _code(piece)))
    return found


def threads(document: Path) -> list[Thread]:
    """What the readers of a document type, section by section and tab by tab."""
    made = []
    found = samples(document)
    for section in dict.fromkeys(sample.section for sample in found):
        inside = [sample for sample in found if sample.section == section]
        tabs = list(dict.fromkeys(sample.tab for sample in inside if sample.tab)) or [None]
        for tab in tabs:
            own = tuple(sample for sample in inside if sample.tab in (None, tab))
            made.append(Thread(section, tab, own))
    return made


def _code(piece: re.Match[str]) -> str:
    code = piece["code"]
    if "\n" not in code:
        return "\n".join(_lines(code.strip())) + "\n"
    lines = code.strip("\n").splitlines()
    if piece["quote"]:
        lines = [re.sub(r"^> ?", "", line) for line in lines]
    if piece["language"] == "diff":
        lines = [line[2:] for line in lines if not line.startswith("-")]
    return "\n".join(lines) + "\n"


def _lines(joined: str) -> Iterator[str]:
    """Break a line of several statements where one of them ends.

    A statement is the longest text that parses. A comment lasts until an import or an assignment.
    """
    words = joined.split(" ")
    while words:
        if words[0] == "#":
            count = next((n for n in range(1, len(words)) if _begins(words[n:])), len(words))
            yield " ".join(words[:count])
        else:
            count = _statement(words)
            yield " ".join(words[:count])
        del words[:count]


def _statement(words: list[str]) -> int:
    """The number of words of the first statement; of what is no Python, all words."""
    end = words.index("#") if "#" in words else len(words)
    return next((n for n in range(end, 0, -1) if _parsed(words[:n])), len(words))


def _begins(words: list[str]) -> bool:
    """Whether an import or an assignment begins here."""
    tree = None if words[0] == "#" else _parsed(words[: _statement(words)])
    return tree is not None and isinstance(tree.body[0], (ast.Import, ast.ImportFrom, ast.Assign))


def _parsed(words: list[str]) -> ast.Module | None:
    try:
        tree = ast.parse(" ".join(words))
    except SyntaxError:
        return None
    return tree if len(tree.body) == 1 else None
