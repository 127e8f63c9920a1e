"""Where prompts come from: the command line, a file with one prompt a line, or standard input."""

from __future__ import annotations

import argparse
import sys
import unicodedata
from collections.abc import Sequence

from kandinsky_core import budgets
from kandinsky_core.errors import InvalidInputError

__all__ = ["STDIN", "add_prompt_options", "prompts_of"]

STDIN = "-"
"""The word that stands for prompts from standard input."""


def add_prompt_options(parser: argparse.ArgumentParser) -> None:
    """Add the prompt as a word, as an option, and as a file of prompts."""
    parser.add_argument(
        "prompt",
        nargs="?",
        metavar="PROMPT",
        help="what the picture shall show; - reads prompts from standard input, one a line",
    )
    parser.add_argument(
        "-p",
        "--prompt",
        action="append",
        dest="prompts",
        metavar="TEXT",
        help="the same as PROMPT; given several times, each prompt gets pictures of its own",
    )
    parser.add_argument(
        "--prompt-file",
        metavar="FILE",
        help="read prompts from a text file in UTF-8, one a line (- is standard input); empty "
        "lines are skipped",
    )


def prompts_of(options: argparse.Namespace) -> list[str]:
    """Return the prompts of a command, each of which gets pictures of its own.

    Raises:
        InvalidInputError: There is no prompt, there are prompts from two places, or the file cannot
            be read, is no text in UTF-8, or is too large.
    """
    given = {
        "PROMPT": options.prompt,
        "--prompt": options.prompts,
        "--prompt-file": options.prompt_file,
    }
    places = [name for name, value in given.items() if value is not None]
    if not places:
        raise InvalidInputError(
            "the following arguments are required: PROMPT, or --prompt-file FILE in its place"
        )
    if len(places) > 1:
        raise InvalidInputError(f"{' and '.join(places)} are both given: give one of them")
    if options.prompt_file is not None:
        return _from_file("--prompt-file", options.prompt_file)
    words = options.prompts if options.prompt is None else [options.prompt]
    if STDIN not in words:
        return list(words)
    if len(words) > 1:
        raise InvalidInputError(f"{places[0]} {STDIN} is standard input: give no other prompt")
    return _from_file(places[0], STDIN)


def _from_file(flag: str, path: str) -> list[str]:
    from kandinsky_core.files import NotRegularError, read_regular, why_not

    name = f"{flag} {path}"
    try:
        content = _stdin() if path == STDIN else read_regular(path, budgets.PROMPT_FILE_BYTES)
    except OSError as error:
        way = f"; {flag} {STDIN} reads a pipe" if isinstance(error, NotRegularError) else ""
        raise InvalidInputError(f"{name}: {why_not(error)}{way}") from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        place = content[: error.start].count(b"\n") + 1
        raise InvalidInputError(
            f"{name}: line {place} is no text in UTF-8: save the file in that encoding"
        ) from error
    # Only a line feed ends a line: str.splitlines would also split at letters within a prompt.
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    for number, line in enumerate(lines, 1):
        _check(f"{name}: line {number}", line)
    prompts = [line.strip() for line in lines if line.strip()]
    if not prompts:
        raise InvalidInputError(f"{name} holds no prompt: write one on each line")
    if len(prompts) > budgets.PROMPTS:
        raise InvalidInputError(
            f"{name} holds {len(prompts):,} prompts, more than the {budgets.PROMPTS:,} that are "
            "read: divide it"
        )
    return prompts


def _stdin() -> bytes:
    """Read standard input to its end.

    Raises:
        OSError: It is closed, or holds too much.
    """
    from kandinsky_core.files import blocks

    if sys.stdin is None or sys.stdin.closed:
        raise OSError("standard input is closed")
    return b"".join(blocks(sys.stdin.buffer, budgets.PROMPT_FILE_BYTES))


def _check(subject: str, line: str) -> None:
    """Refuse what a picture's metadata and a command line could not hold."""
    if len(line) > budgets.PROMPT_CHARACTERS:
        raise InvalidInputError(
            f"{subject} has {len(line):,} characters, more than the {budgets.PROMPT_CHARACTERS:,} "
            "of a prompt: one line is one prompt"
        )
    if line.strip() == STDIN:
        raise InvalidInputError(
            f"{subject} is {STDIN}, which stands for standard input: leave it out"
        )
    wrong = _first_control(line)
    if wrong is not None:
        raise InvalidInputError(
            f"{subject} holds the control character U+{ord(wrong):04X}: a file of prompts is plain "
            "text"
        )


def _first_control(line: Sequence[str]) -> str | None:
    return next(
        (letter for letter in line if unicodedata.category(letter) == "Cc" and letter != "\t"), None
    )
