"""Makes text fit for a terminal: whatever a file, a server or a user wrote, it stays plain text.

Metadata of a picture, names of tensors and the words of a server are printed. As they stand, they
could hold escape sequences that rewrite the screen, marks that reverse the direction of reading,
or a new line that looks like one of the program's own.
"""

from __future__ import annotations

import json
import shlex
import unicodedata
from collections.abc import Callable
from typing import Any

__all__ = ["LONGEST_MESSAGE", "as_json", "one_line", "printable", "shell_word"]

LONGEST_MESSAGE = 1000
"""Characters of the longest message of an error; more are cut out of its middle."""

_ROOM_FOR_COUNT = 50  # the words in the middle: a line that was cut once is not cut again
# Control, format (with the marks of direction), surrogate, line and paragraph separator
_ESCAPED = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))
# Letters and marks that show nothing; Unicode calls them "default ignorable".
_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0")
# The joiners: emoji and several scripts are not written without them.
_JOINERS = frozenset("\u200c\u200d")
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def printable(text: str) -> str:
    r"""Return a text with everything escaped that a terminal would obey or would not show.

    These are control characters (line feeds and tabs among them), marks of direction and other
    invisible characters, line and paragraph separators, and lone surrogates. They are shown as in
    Python's source, `\x1b` for example. Ordinary text of any script stays as it is.
    """
    return _escaped(text, _python_escape)


def as_json(value: Any, *, ascii_only: bool = False) -> str:
    """Return a value as indented JSON, in which what `printable` escapes is a JSON escape.

    The text is equal to its value for every JSON parser. Line feeds are those of the indentation.

    Args:
        value: What JSON can hold.
        ascii_only: Escape all letters beyond ASCII, for an encoding that lacks some of them.
    """
    lines = json.dumps(value, indent=2, ensure_ascii=ascii_only).split("\n")
    return "\n".join(_escaped(line, _json_escape) for line in lines)


def shell_word(word: str) -> str:
    r"""Return a word as a shell reads it; what `printable` escapes is written as in `$'\033'`."""
    if printable(word) == word:
        return shlex.quote(word)
    letters = []
    for letter in word:
        if letter in "\\'":
            letters.append("\\" + letter)
        elif printable(letter) == letter:
            letters.append(letter)
        else:  # bytes in octal, which every shell with this form reads the same way
            letters += [f"\\{byte:03o}" for byte in _bytes_of(letter)]
    return f"$'{''.join(letters)}'"


def one_line(text: str, longest: int = LONGEST_MESSAGE) -> str:
    """Return a message as one printable line of bounded length.

    Line feeds become spaces. A longer message keeps its beginning, which says what is wrong, and
    its end, which says what to do; between them it says how many characters are left out.

    Args:
        text: The message.
        longest: Characters of the line, counted as they are shown.
    """
    text = " ".join(filter(None, (line.strip() for line in text.split("\n"))))
    if _fitting(text, longest) == len(text):
        return printable(text)
    head = _fitting(text, longest * 2 // 3 - _ROOM_FOR_COUNT)
    tail = _fitting(text[: -longest - 1 : -1], longest // 3)
    rest = len(text) - head - tail
    end = printable(text[-tail:]) if tail else ""
    return f"{printable(text[:head])} ... ({rest:,} characters left out) ... {end}"


def _escaped(text: str, escape: Callable[[str], str]) -> str:
    if text.isprintable() and _INVISIBLE.isdisjoint(text):
        return text
    return "".join(
        escape(letter) if _is_unfit(text, place) else letter for place, letter in enumerate(text)
    )


def _is_unfit(text: str, place: int) -> bool:
    letter = text[place]
    if letter in _JOINERS:
        return not (_joins(text[place - 1 : place]) and _joins(text[place + 1 : place + 2]))
    return unicodedata.category(letter) in _ESCAPED or letter in _INVISIBLE


def _joins(letter: str) -> bool:
    """Return whether a letter may stand beside a joiner: one of a script that has them."""
    return not letter.isascii() and unicodedata.category(letter)[0] in "LMS"


def _python_escape(letter: str) -> str:
    code = ord(letter)
    if letter in _SHORT:
        return _SHORT[letter]
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _json_escape(letter: str) -> str:
    # json.dumps leaves DEL as it is, though it is as much a control character as the others
    return "\\u007f" if letter == "\x7f" else json.dumps(letter)[1:-1]


def _bytes_of(letter: str) -> bytes:
    """Return a letter as a command line holds it: Python reads its stray bytes as surrogates."""
    stray = "\udc80" <= letter <= "\udcff"
    return letter.encode("utf-8", "surrogateescape" if stray else "surrogatepass")


def _fitting(text: str, room: int) -> int:
    """Return how many characters of a text fit, each counted as it is shown."""
    used = 0
    for count, letter in enumerate(text):
        used += len(printable(letter))
        if used > room:
            return count
    return len(text)
