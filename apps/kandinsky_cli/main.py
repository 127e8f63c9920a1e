"""The entry of the command line: parses the words, runs a command, prints an error as one line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from kandinsky_cli.commands import (
    backends,
    beautify,
    completion,
    controlnet,
    convert,
    env,
    generate,
    img2img,
    info,
    inpaint,
    interpolate,
    models,
    serve,
    upscale,
    verify,
    warmup,
)
from kandinsky_cli.console import console, silence_output, write_error
from kandinsky_cli.interrupts import interruptible
from kandinsky_cli.loudness import loudness
from kandinsky_core import __version__
from kandinsky_core.errors import InvalidInputError, KandinskyError

__all__ = ["main"]

# A command imports heavy packages only when it runs, so that --help is instant.
_COMMANDS: Mapping[str, Any] = {
    "generate": generate,
    "img2img": img2img,
    "inpaint": inpaint,
    "interpolate": interpolate,
    "controlnet": controlnet,
    "upscale": upscale,
    "serve": serve,
    "beautify": beautify,
    "info": info,
    "models": models,
    "backends": backends,
    "verify": verify,
    "convert": convert,
    "warmup": warmup,
    "env": env,
    "completion": completion,
}
# Positional words and texts; where a model's name is empty, the error says which names there are.
_MAY_BE_EMPTY = {"prompt", "prompts", "negative_prompt", "items", "subject", "source", "model"}
_INTERRUPTED = 130  # shells report this status for a program that Ctrl-C ended


class _Parser(argparse.ArgumentParser):
    """A parser that reports a mistake in one line; argparse's own prints the usage before it."""

    def error(self, message: str) -> NoReturn:
        write_error(self.prog, message, hint=f" (see {self.prog} --help)")
        self.exit(2)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: Words after the program's name; None takes the words of the process.

    Returns:
        0 when all went well, 1 when `verify` found a difference, 2 after an error that the user
        can mend, 130 after Ctrl-C.
    """
    with console():
        options = _parse(arguments)
        try:
            with interruptible():
                return _run(options)
        except KeyboardInterrupt:
            sys.stderr.write("\nkandinsky: interrupted\n")
            return _INTERRUPTED


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = _Parser(
        prog="kandinsky",
        description="Make pictures from text with Kandinsky on JAX or MindSpore.",
    )
    parser.add_argument("--version", action="version", version=f"kandinsky {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in _COMMANDS.values():
        module.add_parser(commands)
    parser.set_defaults(whole_parser=parser)  # for `completion`, which tells what there is
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        parser.prog = f"{parser.prog} {options.command}"  # whose --help lists what there is
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    return options


def _run(options: argparse.Namespace) -> int:
    """Run a command, and print what the user can mend as one line."""
    try:
        _refuse_empty(options)
        with loudness(options):
            status = _COMMANDS[options.command].run(options) or 0
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of our output, `head` for example, has gone
        silence_output()
        return 0
    except (KandinskyError, OSError) as error:
        write_error(f"kandinsky {options.command}", str(error))
        _flush()
        return 2
    return int(status)


def _refuse_empty(options: argparse.Namespace) -> None:
    """Refuse empty words, which a script passes for a variable that is not set.

    Raises:
        InvalidInputError: The value of an option is empty, or one of its values.
    """
    for name, value in vars(options).items():
        if name not in _MAY_BE_EMPTY and (value == "" or (isinstance(value, list) and "" in value)):
            flag = name.replace("_", "-")
            raise InvalidInputError(f"--{flag} is empty: give a value, or leave --{flag} out")


def _flush() -> None:
    """Write what is left for standard output, unless it is standard output that failed."""
    try:
        sys.stdout.flush()
    except OSError:
        silence_output()


if __name__ == "__main__":
    sys.exit(main())
