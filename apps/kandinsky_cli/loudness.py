"""The options `--quiet` and `--verbose`: how much a command tells beside its result."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from kandinsky_core.terminal import printable

__all__ = ["LOGGER", "add_loudness_options", "loudness"]

LOGGER = "kandinsky_cli"
"""The name of the command line's own logger."""

_LOGGERS = (
    *("kandinsky_core", "kandinsky_converters", "kandinsky_backend_kit", "kandinsky_jax"),
    *("kandinsky_mindspore", LOGGER),
)
_NO_BARS = "HF_HUB_DISABLE_PROGRESS_BARS"  # huggingface_hub reads it when it is imported


def add_loudness_options(parser: argparse.ArgumentParser) -> None:
    """Add the two options, of which one excludes the other."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "-q", "--quiet", action="store_true", help="print only errors and what was written"
    )
    group.add_argument(
        "-v",
        "--verbose",
        action="store_true",
        help="tell on standard error what is loaded and compiled, and how long each takes",
    )


@contextmanager
def loudness(options: argparse.Namespace) -> Iterator[None]:
    """Be as quiet or as verbose as the options say, while a command runs."""
    if getattr(options, "quiet", False):
        with _quiet():
            yield
    elif getattr(options, "verbose", False):
        with _verbose():
            yield
    else:
        yield


@contextmanager
def _quiet() -> Iterator[None]:
    before, bars = logging.root.manager.disable, os.environ.get(_NO_BARS)
    logging.disable(logging.WARNING)
    os.environ[_NO_BARS] = "1"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
        if bars is None:
            del os.environ[_NO_BARS]
        else:
            os.environ[_NO_BARS] = bars


@contextmanager
def _verbose() -> Iterator[None]:
    handler = _ErrorLines()
    levels = {name: logging.getLogger(name).level for name in _LOGGERS}
    for name in levels:
        logging.getLogger(name).addHandler(handler)
        logging.getLogger(name).setLevel(logging.INFO)
    try:
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).removeHandler(handler)
            logging.getLogger(name).setLevel(level)


class _ErrorLines(logging.Handler):
    """Prints each record as a line on standard error."""

    def emit(self, record: logging.LogRecord) -> None:
        sys.stderr.write(f"{printable(self.format(record))}\n")
        sys.stderr.flush()
