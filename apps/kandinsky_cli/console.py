"""All that the command line prints goes through here: text is fit for a terminal and encodable."""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from kandinsky_core.terminal import as_json, one_line, printable

__all__ = ["LineHandler", "console", "silence_output", "write_error", "write_json", "write_line"]


@contextmanager
def console() -> Iterator[None]:
    """Give the process streams that every text can be written to.

    A program without a window has no streams at all, and a shell may close them (`>&-`): what is
    written then goes nowhere. A character that the console's encoding lacks is shown escaped.
    """
    with ExitStack() as opened:
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if stream is None or stream.closed:
                nowhere = opened.enter_context(open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123
                setattr(sys, name, nowhere)
                opened.callback(setattr, sys, name, stream)
            elif isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        yield


def write_line(text: str) -> None:
    """Print a line on standard output."""
    sys.stdout.write(f"{printable(text)}\n")


def write_json(value: Any) -> None:
    """Print a value as JSON on standard output, in letters that its encoding has."""
    text = as_json(value)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = as_json(value, ascii_only=True)
    sys.stdout.write(f"{text}\n")


def write_error(who: str, message: str, *, kind: str = "error", hint: str = "") -> None:
    """Print a message as one line on standard error, however long it is.

    Args:
        who: The program or command that says it.
        message: What is wrong.
        kind: `error` or `warning`.
        hint: What to print after the message in any case.
    """
    sys.stderr.write(f"{who}: {kind}: {one_line(message)}{hint}\n")


def silence_output() -> None:
    """Write nothing more to a standard output that takes nothing more.

    Otherwise the interpreter would try once more at its exit, and complain.
    """
    try:
        descriptor = sys.stdout.fileno()
    except (OSError, ValueError):  # a stream in memory
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


class LineHandler(logging.Handler):
    """Prints each record of a logger as a line on standard output at once."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record."""
        write_line(self.format(record))
        sys.stdout.flush()
