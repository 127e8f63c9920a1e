"""The command `kandinsky completion`, which prints a script that completes words in a shell."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import Any

from kandinsky_core.errors import InvalidInputError

__all__ = ["add_parser", "run"]

_SHELLS = ("bash", "zsh", "tcsh", "fish")
_FILES, _FOLDERS = ("PATH", "FILE", "PATH[:WEIGHT]", "IMAGE-or-MODEL", "SOURCE"), ("DIR", "MODEL")
_DTYPES = ("float32", "bfloat16", "float16")


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "completion",
        help="print a script that completes commands and options in a shell",
        description="Print a script for a shell, which then completes commands, options, names and "
        "files. It needs shtab: pip install 'kandinsky-anywhere[completion]'.",
    )
    parser.add_argument("shell", choices=_SHELLS, help="the shell that reads the script")


def run(options: argparse.Namespace) -> None:
    """Print the script.

    Raises:
        InvalidInputError: shtab is not installed.
    """
    try:
        import shtab
    except ImportError as error:
        raise InvalidInputError(
            "completion needs shtab, not installed: pip install 'kandinsky-anywhere[completion]'"
        ) from error
    parser = options.whole_parser
    names = _names()
    for action in _actions(parser):
        if action.dest in names and action.nargs is None and action.choices is None:
            action.choices = names[action.dest]
        elif action.metavar in _FILES:
            action.complete = shtab.FILE  # type: ignore[attr-defined]  # where shtab looks for it
        elif action.metavar in _FOLDERS or action.dest == "model":
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
    try:
        script = shtab.complete(parser, shell=options.shell)
    except NotImplementedError as error:
        raise InvalidInputError(
            f"this shtab knows no {options.shell}: pip install --upgrade shtab"
        ) from error
    sys.stdout.write(f"{script}\n")  # as it stands: a shell reads it


def _names() -> dict[str, tuple[str, ...]]:
    """Return what an option's value may be, by its name within the program."""
    from kandinsky_cli.commands.warmup import TASKS
    from kandinsky_core.memory.on_demand_encoder import LOADINGS
    from kandinsky_core.schedulers.names import SCHEDULER_NAMES
    from kandinsky_core.seam.quantization import QUANTIZATIONS
    from kandinsky_core.seam.registry import backend_names

    return {
        "backend": tuple(backend_names()),
        "dtype": _DTYPES,
        "quantize": QUANTIZATIONS,
        "device": ("cpu", "gpu", "tpu"),
        "scheduler": SCHEDULER_NAMES,
        "text_encoder_loading": tuple(LOADINGS),
        "task": TASKS,
        "to": ("diffusers", "jax", "mindspore"),
    }


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Yield the actions of a parser and of its commands."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from _actions(command)
