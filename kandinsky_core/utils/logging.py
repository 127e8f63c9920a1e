"""How much the library tells, by the names of `diffusers.utils.logging`.

The packages log with Python's `logging` below `kandinsky_core`, `kandinsky_jax` and so on. These
functions set the level of all of them, and show or hide progress bars.
"""

from __future__ import annotations

import logging
from logging import CRITICAL, DEBUG, ERROR, FATAL, INFO, NOTSET, WARN, WARNING

from kandinsky_core.denoising.progress_bars import BARS

__all__ = [
    "CRITICAL",
    "DEBUG",
    "ERROR",
    "FATAL",
    "INFO",
    "NOTSET",
    "WARN",
    "WARNING",
    "disable_default_handler",
    "disable_progress_bar",
    "disable_propagation",
    "enable_default_handler",
    "enable_explicit_format",
    "enable_progress_bar",
    "enable_propagation",
    "get_logger",
    "get_verbosity",
    "is_progress_bar_enabled",
    "reset_format",
    "set_verbosity",
    "set_verbosity_debug",
    "set_verbosity_error",
    "set_verbosity_info",
    "set_verbosity_warning",
]

PACKAGES = (
    "kandinsky_core",
    "kandinsky_backend_kit",
    "kandinsky_converters",
    "kandinsky_jax",
    "kandinsky_mindspore",
)
_EXPLICIT = "[%(levelname)s|%(filename)s:%(lineno)s] %(asctime)s >> %(message)s"

_handler = logging.StreamHandler()


def get_logger(name: str | None = None) -> logging.Logger:
    """Return a logger; None takes the one of `kandinsky_core`."""
    return logging.getLogger(name or PACKAGES[0])


def get_verbosity() -> int:
    """Return the level that messages of the library need to be told."""
    return get_logger().getEffectiveLevel()


def set_verbosity(verbosity: int) -> None:
    """Tell messages of this level and above, on stderr where the program has no handler.

    Args:
        verbosity: A level of Python's `logging`: `INFO`, `WARNING`, `ERROR` ...
    """
    for name in PACKAGES:
        logging.getLogger(name).setLevel(verbosity)
    if verbosity < WARNING and not get_logger().hasHandlers():
        enable_default_handler()


def set_verbosity_debug() -> None:
    """Tell everything."""
    set_verbosity(DEBUG)


def set_verbosity_info() -> None:
    """Tell what is chosen and what changes nothing, too."""
    set_verbosity(INFO)


def set_verbosity_warning() -> None:
    """Tell warnings and errors, as at first."""
    set_verbosity(WARNING)


def set_verbosity_error() -> None:
    """Tell errors only."""
    set_verbosity(ERROR)


def enable_default_handler() -> None:
    """Write the messages to stderr."""
    for name in PACKAGES:
        logging.getLogger(name).addHandler(_handler)


def disable_default_handler() -> None:
    """Leave the messages to the program's own handlers."""
    for name in PACKAGES:
        logging.getLogger(name).removeHandler(_handler)


def enable_propagation() -> None:
    """Hand messages on to the program's own handlers, as at first."""
    for name in PACKAGES:
        logging.getLogger(name).propagate = True


def disable_propagation() -> None:
    """Keep messages from the program's own handlers."""
    for name in PACKAGES:
        logging.getLogger(name).propagate = False


def enable_explicit_format() -> None:
    """Begin each line of the default handler with level, file, line and time."""
    _handler.setFormatter(logging.Formatter(_EXPLICIT))


def reset_format() -> None:
    """Write the message alone, as at first."""
    _handler.setFormatter(None)


def enable_progress_bar() -> None:
    """Show the bars of steps and of downloads, as at first."""
    from huggingface_hub.utils import enable_progress_bars  # type: ignore[attr-defined]

    BARS.shown = True
    enable_progress_bars()


def disable_progress_bar() -> None:
    """Show no bars, neither of steps nor of downloads."""
    from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]

    BARS.shown = False
    disable_progress_bars()


def is_progress_bar_enabled() -> bool:
    """Tell whether bars are shown."""
    return BARS.shown
