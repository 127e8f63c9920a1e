"""Casting while looking for NaN: bit for bit as NumPy casts, and nothing is overlooked."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from kandinsky_converters.layouts import numbers
from kandinsky_converters.layouts.numbers import all_finite, fill

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
FLOATING = [np.dtype(np.float16), BFLOAT16, np.dtype(np.float32), np.dtype(np.float64)]


def every_half(dtype: np.dtype) -> np.ndarray:
    """All 65,536 bit patterns of a dtype of two bytes."""
    return np.arange(2**16, dtype=np.uint16).view(dtype)


@pytest.mark.parametrize("dtype", FLOATING[:2])
def test_each_value_of_two_bytes_is_told_apart(dtype: np.dtype) -> None:
    values = every_half(dtype)
    with np.errstate(invalid="ignore"):
        expected = np.isfinite(values)
    assert all_finite(values[expected])
    wrong = [value for value in values[~expected] if all_finite(np.array([0, value], dtype))]
    assert not wrong


@pytest.mark.parametrize("dtype", FLOATING)
def test_one_bad_value_is_found_wherever_it_lies(
    dtype: np.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numbers, "_CHUNK", 8)
    largest = ml_dtypes.finfo(dtype).max
    good = np.array([largest, -largest, 0.0, -0.0, 1] * 4, dtype)
    assert all_finite(good)
    for bad in (np.inf, -np.inf, np.nan, -np.nan):
        for at in range(good.size):
            values = good.copy()
            values[at] = bad
            assert not all_finite(values)
            assert not fill(np.empty(20, dtype), values)
            assert not fill(np.empty((5, 4), dtype), values.reshape(4, 5).T)


@pytest.mark.parametrize("stored", FLOATING)
@pytest.mark.parametrize("asked", FLOATING[:3])
def test_casting_in_pieces_gives_the_bits_of_casting_at_once(
    stored: np.dtype, asked: np.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numbers, "_CHUNK", 1000)
    with np.errstate(over="ignore", invalid="ignore"):
        values = np.concatenate([[1e-30, 3e38], every_half(FLOATING[0])]).astype(stored)
        values = values[np.isfinite(values)][:63_000]
        expected = values.astype(asked)
    shape = (values.size // 6, 3, 2)
    for source, result in (
        (values, expected),
        (values.reshape(shape).transpose(2, 0, 1), expected.reshape(shape).transpose(2, 0, 1)),
    ):
        made = np.empty(source.shape, asked)
        assert fill(made, source) == np.isfinite(expected).all()
        assert made.tobytes() == np.ascontiguousarray(result).tobytes()


def test_values_that_become_too_large_are_reported_and_no_warning() -> None:
    assert not fill(np.empty(2, np.float16), np.array([1, 70_000], np.float32))
    assert fill(np.empty(2, BFLOAT16), np.array([1, 70_000], np.float32))
    assert fill(np.empty((0, 3), np.float16), np.empty((0, 3), np.float32))
