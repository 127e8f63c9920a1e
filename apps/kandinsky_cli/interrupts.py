"""Lets Ctrl-C end a command whenever it is pressed.

Python runs a signal's handler at the next instruction of its own. While it collects garbage, that
is one of a callback, such as JAX has, and what a callback raises is printed and forgotten. Loading
a model collects much garbage.
"""

from __future__ import annotations

import gc
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["interruptible"]

_LATER = 0.01  # seconds


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise KeyboardInterrupt on Ctrl-C, after a collection of garbage where one is under way.

    A handler of the caller's own stays as it is, and so it does in other threads than the main one.
    """
    plain = signal.default_int_handler
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGINT) is not plain
    ):
        yield
        return
    signal.signal(signal.SIGINT, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, plain)


def _interrupt(number: int, frame: FrameType | None) -> None:
    if not _in_callback(frame):
        raise KeyboardInterrupt
    main = threading.main_thread().ident
    assert main is not None
    again = threading.Timer(_LATER, signal.pthread_kill, (main, number))
    again.daemon = True
    again.start()


def _in_callback(frame: FrameType | None) -> bool:
    """Whether garbage is being collected, and a callback runs."""
    codes = {getattr(callback, "__code__", None) for callback in gc.callbacks}
    while frame is not None:
        if frame.f_code in codes:
            return True
        frame = frame.f_back
    return False
