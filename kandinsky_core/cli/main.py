"""Entry point: parsing, and errors as one line with exit code 2. Imports nothing heavy."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from kandinsky_core import __version__
from kandinsky_core.cli import (
    backends,
    beautify,
    controlnet,
    convert,
    generate,
    img2img,
    info,
    inpaint,
    interpolate,
    verify,
    warmup,
)
from kandinsky_core.errors import KandinskyError

__all__ = ["main"]

_COMMANDS = (
    generate,
    img2img,
    inpaint,
    interpolate,
    controlnet,
    beautify,
    info,
    backends,
    verify,
    convert,
    warmup,
)
_INTERRUPTED = 130  # what shells report for a program that Ctrl-C ended


class _Parser(argparse.ArgumentParser):
    """Reports a mistake in one line; argparse puts the usage before it."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: Words after the program's name; those of the process when None.

    Returns:
        0 when all went well, 1 when `verify` found a difference, 2 after an error that the user
        can mend, 130 after Ctrl-C.
    """
    parser = _Parser(
        prog="kandinsky",
        description="Make pictures from text with Kandinsky on JAX or MindSpore.",
    )
    parser.add_argument("--version", action="version", version=f"kandinsky {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in _COMMANDS:
        module.add_parser(commands)
    options = parser.parse_args(arguments)
    try:
        # The rest of the command, with what is heavy to import, lies in a module of its own.
        run = import_module(f"kandinsky_core.cli.run_{options.command}").run
        status = run(options) or 0
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of our output, `head` for example, has gone
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123 - lives until the exit
        return 0
    except (KandinskyError, OSError) as error:
        text = " ".join(str(error).split())
        sys.stderr.write(f"kandinsky {options.command}: error: {text}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("\nkandinsky: interrupted\n")
        return _INTERRUPTED
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
