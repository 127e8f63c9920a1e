"""How much is told, and the bars, by the names of diffusers.utils."""

from __future__ import annotations

import logging as standard
from collections.abc import Iterator

import pytest

from kandinsky_core.denoising.progress_bars import progress
from kandinsky_core.utils import logging


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Put the levels back."""
    yield
    for name in logging.PACKAGES:
        standard.getLogger(name).setLevel(standard.NOTSET)
    logging.disable_default_handler()
    logging.enable_propagation()
    logging.reset_format()
    logging.enable_progress_bar()


def test_the_level_holds_for_every_package() -> None:
    logging.set_verbosity_error()
    assert logging.get_verbosity() == logging.ERROR
    assert not standard.getLogger("kandinsky_jax.runtime").isEnabledFor(logging.WARNING)
    logging.set_verbosity_debug()
    assert standard.getLogger("kandinsky_mindspore.runtime").isEnabledFor(logging.DEBUG)
    assert logging.get_logger().name == "kandinsky_core"
    assert logging.get_logger("mine").name == "mine"


def test_the_default_handler_writes_in_either_format(capsys: pytest.CaptureFixture[str]) -> None:
    handler = logging._handler
    handler.setStream(standard.sys.stderr)  # type: ignore[attr-defined]
    logging.disable_propagation()
    logging.enable_default_handler()
    logging.set_verbosity_info()
    logging.get_logger().info("first")
    logging.enable_explicit_format()
    logging.get_logger().info("second")
    first, second = capsys.readouterr().err.splitlines()
    assert first == "first"
    assert second.startswith("[INFO|test_logging.py:")
    assert second.endswith(">> second")


def test_bars_are_hidden_and_shown(capsys: pytest.CaptureFixture[str]) -> None:
    logging.disable_progress_bar()
    assert not logging.is_progress_bar_enabled()
    with progress(2, {}) as advance:
        advance()
    assert capsys.readouterr().err == ""
    logging.enable_progress_bar()
    with progress(2, {}) as advance:
        advance()
    assert "1/2" in capsys.readouterr().err or "0/2" in capsys.readouterr().err
