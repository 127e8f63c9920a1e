"""A message is one printable line of bounded length; the exception keeps the whole of it."""

from __future__ import annotations

import pickle

import pytest

from kandinsky_core import errors
from kandinsky_core.errors import BackendUnavailableError, KandinskyError, NonFiniteError
from kandinsky_core.terminal import LONGEST_MESSAGE

CLASSES = [getattr(errors, name) for name in errors.__all__]
LONG = "tensor\x1b[31m\n\u202e " * 1000


@pytest.mark.parametrize("made", CLASSES)
def test_messages_of_every_class(made: type[KandinskyError]) -> None:
    error = made(LONG)
    assert len(str(error)) <= LONGEST_MESSAGE
    assert str(error).isprintable()
    assert "characters left out)" in str(error)
    assert error.args == (LONG,)
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), copy.args, str(copy)) == (made, error.args, str(error))
    assert str(made("short: as it is")) == "short: as it is"
    assert str(made()) == ""


def test_fields_of_the_second_base_stay() -> None:
    error = BackendUnavailableError("no\nbackend", name="jax")
    assert (str(error), error.name, error.msg) == ("no backend", "jax", "no\nbackend")
    assert issubclass(NonFiniteError, FloatingPointError)
