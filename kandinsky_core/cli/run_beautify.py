"""`kandinsky beautify`: what it does."""

from __future__ import annotations

import argparse
import json
import os
import sys
from contextlib import redirect_stdout

from kandinsky_core.beautify import PromptBeautifier
from kandinsky_core.validation import positive_int

__all__ = ["run"]

_OPTIONS = ("model", "max_words", "device", "dtype")


def run(options: argparse.Namespace) -> None:
    """Print the expanded prompt.

    Raises:
        KandinskyError: See `PromptBeautifier`.
    """
    if options.max_words is not None:
        positive_int("--max-words", options.max_words)
    given = {name: getattr(options, name) for name in _OPTIONS}
    beautifier = PromptBeautifier(
        **{name: value for name, value in given.items() if value is not None}
    )
    # Read when transformers is imported: its notes are of no use here. What libraries print all
    # the same does not belong among the results.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    with redirect_stdout(sys.stderr):
        text = beautifier(options.prompt)
    if options.json:
        found = {"prompt": options.prompt, "beautified": text, "model": str(beautifier.model)}
        text = json.dumps(found, indent=2, ensure_ascii=False)
    sys.stdout.write(f"{text}\n")
