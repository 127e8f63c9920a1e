"""Turns failures of the `tokenizers` library into errors that name the tokenizer's file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from kandinsky_core.errors import CheckpointError, KandinskyError

__all__ = ["LARGEST_ID", "checked_ids", "library_errors"]

LARGEST_ID = 2**20
"""Largest id of a token; published vocabularies have 250,002 tokens."""


@contextmanager
def library_errors(subject: object) -> Iterator[None]:
    """Run a block that calls the library with what a tokenizer's files say.

    The library raises bare `Exception`. Where its own checks fall short it panics, and a panic
    reaches Python as a class of its own beside `Exception`.

    Args:
        subject: The file or folder, for the error.

    Raises:
        CheckpointError: The library failed.
    """
    try:
        yield
    except KandinskyError:
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise  # Ctrl-C
        raise CheckpointError(
            f"{subject} cannot be read or used as a tokenizer ({error}): fetch it again"
        ) from error


def checked_ids(ids: Sequence[int]) -> Sequence[int]:
    """Return ids of tokens as they are.

    Raises:
        ValueError: An id is larger than any vocabulary, and would change in an int32.
    """
    if max(ids, default=0) > LARGEST_ID:
        raise ValueError(f"it gives a token the id {max(ids)}, and the largest is {LARGEST_ID}")
    return ids
