"""Ctrl-C ends a command, even while Python collects garbage."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kandinsky_cli.interrupts import interruptible


@pytest.fixture(autouse=True)
def _plain_handler() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def command(work: Callable[[], object]) -> None:
    with interruptible():
        work()
        time.sleep(10)


def test_ctrl_c_while_garbage_is_collected_comes_after_it() -> None:
    """Raised within the callback it would be printed, and the sleep would go on."""
    pressed: list[str] = []

    def callback(phase: str, _: Any) -> None:
        if not pressed:
            pressed.append(phase)
            os.kill(os.getpid(), signal.SIGINT)
            assert sum(range(1000))  # instructions, before one of which the handler runs

    gc.callbacks.append(callback)
    try:
        with pytest.raises(KeyboardInterrupt):
            command(gc.collect)
    finally:
        gc.callbacks.remove(callback)
    assert pressed == ["start"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_at_any_other_moment_comes_at_once() -> None:
    with pytest.raises(KeyboardInterrupt):
        command(lambda: os.kill(os.getpid(), signal.SIGINT))


def test_a_handler_of_the_callers_own_stays() -> None:
    seen: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: seen.append(number))
    with interruptible():
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)
    assert seen == [signal.SIGINT]


def test_other_threads_change_no_handler() -> None:
    found: list[Any] = []

    def run() -> None:
        with interruptible():
            found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert found == [signal.default_int_handler]
