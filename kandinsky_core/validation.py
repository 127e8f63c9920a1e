"""Checks of a caller's arguments, made before anything heavy starts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from kandinsky_core.arrays import FloatArray
from kandinsky_core.errors import InvalidInputError

__all__ = ["as_batch", "as_prompts", "negatives_for", "one_of", "positive_int", "real_number"]

_LONGEST = 2**63 - 1
_LARGEST = float(np.finfo(np.float32).max)


def positive_int(name: str, value: Any) -> int:
    """Return an argument that must be a whole number from 1 to 2**63 - 1.

    Raises:
        InvalidInputError: The value is anything else.
    """
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise InvalidInputError(f"{name}={value!r}: give a whole number of at least 1")
    if value > _LONGEST:  # Python does not even print an integer of any length
        raise InvalidInputError(f"{name} is beyond 2**63 - 1: give a smaller whole number")
    return int(value)


def real_number(name: str, value: Any) -> float:
    """Return an argument that must be a finite number.

    Raises:
        InvalidInputError: The value is anything else.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise InvalidInputError(f"{name}={value!r}: give a number")
    try:
        number = float(value)
    except OverflowError:  # an integer of hundreds of digits
        number = math.inf
    # Beyond float32 the schedule's arithmetic has no finite result. NaN fails the test too.
    if not abs(number) <= _LARGEST:
        raise InvalidInputError(f"{name}={value!r}: give a finite number")
    return number


def one_of(name: str, value: Any, allowed: Sequence[str]) -> str:
    """Return an argument that must be one of the allowed values.

    Raises:
        InvalidInputError: The value is none of them.
    """
    if value not in allowed:
        raise InvalidInputError(f"{name}={value!r}: choose one of {', '.join(allowed)}")
    return str(value)


def as_prompts(name: str, value: Any) -> list[str]:
    """Return a text or a sequence of texts as a list.

    Raises:
        InvalidInputError: The value is neither, or it is an empty sequence.
    """
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, (list, tuple)) or not texts:
        raise InvalidInputError(f"{name} must be text or a list of texts, not {value!r}")
    wrong = [item for item in texts if not isinstance(item, str)]
    if wrong:
        raise InvalidInputError(f"{name} must hold texts only, found {wrong[0]!r}")
    for text in texts:
        if any("\ud800" <= letter <= "\udfff" for letter in text):
            # Python turns bytes of a command line that are no UTF-8 into such letters.
            raise InvalidInputError(f"{name}={text!r} is no valid Unicode text: give it as UTF-8")
    return list(texts)


def negatives_for(prompts: Sequence[str], negative: Any) -> list[str] | None:
    """Return one negative prompt for each prompt, or None where none is given.

    A single negative prompt serves every prompt.

    Raises:
        InvalidInputError: Their numbers differ.
    """
    if negative is None:
        return None
    texts = as_prompts("negative_prompt", negative)
    if isinstance(negative, str):
        texts = texts * len(prompts)
    if len(texts) != len(prompts):
        raise InvalidInputError(
            f"negative_prompt has {len(texts)} texts for {len(prompts)} prompts: "
            "give one for all, or one for each"
        )
    return texts


def as_batch(name: str, value: Any, shape: tuple[int | None, ...]) -> FloatArray:
    """Return an array, or a list of arrays joined along the first axis, as float32 of a shape.

    Args:
        name: The argument's name, for the error.
        value: NumPy array, or anything that converts to one without loss of order.
        shape: Expected shape; None where any size will do.

    Raises:
        InvalidInputError: The value is None, converts to no array, or gives an array that is empty,
            of another shape, or holds NaN or infinity.
    """
    wanted = ", ".join("any" if size is None else str(size) for size in shape)
    if value is None:
        raise InvalidInputError(f"{name} is missing: give an array of shape ({wanted})")
    try:
        parts = list(value) if isinstance(value, (list, tuple)) else [value]
        with np.errstate(over="ignore"):  # what is beyond float32 becomes infinite
            array = np.concatenate([np.asarray(part, np.float32) for part in parts])
    except (TypeError, ValueError) as error:
        raise InvalidInputError(f"{name} is no numeric array: {error}") from error
    fits = array.ndim == len(shape) and all(
        want in (None, got) for want, got in zip(shape, array.shape, strict=True)
    )
    if not fits or not array.size:
        raise InvalidInputError(f"{name} has shape {array.shape}, expected ({wanted})")
    bad = array.size - int(np.isfinite(array).sum())
    if bad:
        raise InvalidInputError(
            f"{name} holds NaN or infinity in {bad} of {array.size} values: give finite numbers "
            "of float32"
        )
    return array
