"""The command `kandinsky beautify`, which expands a prompt with a language model."""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import redirect_stdout
from typing import Any

from kandinsky_cli.console import write_json, write_line

__all__ = ["add_parser", "run"]


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "beautify",
        usage="kandinsky beautify PROMPT [options]",
        help="expand a prompt with a language model, as Kandinsky 3.1 does",
        description="Expand a short prompt with a language model and print the result on one line. "
        "It needs PyTorch and transformers: pip install 'kandinsky-anywhere[beautify]'.",
    )
    parser.add_argument("prompt", metavar="PROMPT", help="the prompt to expand")
    # The help repeats the defaults of PromptBeautifier, since importing it would slow --help down.
    parser.add_argument(
        "--model",
        help="a causal language model: a folder or a hub id (default: Intel/neural-chat-7b-v3-1, "
        "14 GB)",
    )
    parser.add_argument(
        "--max-words",
        type=int,
        metavar="N",
        help="cut a longer answer after so many words (default: 90)",
    )
    parser.add_argument(
        "--device",
        help="device of PyTorch: cpu, cuda, cuda:1 (default: an accelerator if there is one)",
    )
    parser.add_argument(
        "--dtype", help="dtype to compute in: float32, bfloat16 or float16 (default: as stored)"
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


_OPTIONS = ("model", "max_words", "device", "dtype")


def run(options: argparse.Namespace) -> None:
    """Print the expanded prompt.

    Raises:
        KandinskyError: See `PromptBeautifier`.
    """
    from kandinsky_core.texts.beautify import PromptBeautifier
    from kandinsky_core.validation import positive_int

    if options.max_words is not None:
        positive_int("--max-words", options.max_words)
    given = {name: getattr(options, name) for name in _OPTIONS}
    beautifier = PromptBeautifier(
        **{name: value for name, value in given.items() if value is not None}
    )
    # transformers reads the variable when it is imported; its notes are of no use here. Anything
    # that libraries still print goes to stderr, away from the result.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    with redirect_stdout(sys.stderr):
        text = beautifier(options.prompt)
    if options.json:
        found = {"prompt": options.prompt, "beautified": text, "model": str(beautifier.model)}
        write_json(found)
    else:
        write_line(text)
