"""Rounding to 8 bits: never off by more than half a step, exact where it can be, and small."""

from __future__ import annotations

import tracemalloc

import ml_dtypes
import numpy as np
import pytest

from kandinsky_backend_kit import quantized_rows as module
from kandinsky_backend_kit.quantized_rows import dequantized_rows, quantized_rows


@pytest.mark.parametrize("stored", [np.float16, np.float32, np.float64, ml_dtypes.bfloat16])
@pytest.mark.parametrize("shape", [(7, 50), (6, 5, 3, 3)])
def test_a_weight_is_off_by_half_a_step_at_most(
    stored: type, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_CHUNK", 100)  # a few rows at a time, the last part smaller
    random = np.random.default_rng(3)
    scales = 10.0 ** random.uniform(-3, 3, shape[0])
    weight = (random.standard_normal(shape).T * scales).T.astype(stored)
    rows, steps = quantized_rows(weight)
    exact = weight.astype(np.float64)
    flat = np.abs(exact).reshape(len(exact), -1)
    assert rows.dtype == np.int8
    assert np.abs(rows.astype(int)).reshape(len(rows), -1).max(axis=1).tolist() == [127] * len(rows)
    assert steps == pytest.approx(flat.max(axis=1) / 127, rel=1e-6)
    error = np.abs(dequantized_rows(rows, steps) - exact).reshape(len(exact), -1).max(axis=1)
    assert (error <= 0.5 * steps * (1 + 1e-4)).all()
    assert (error > 0.3 * steps).all()  # the bound is near: nothing finer than a step is kept


@pytest.mark.parametrize("kind", [np.float16, ml_dtypes.bfloat16])
def test_steps_of_a_narrow_dtype_are_its_own_numbers_and_bound_the_error(kind: type) -> None:
    random = np.random.default_rng(5)
    scales = np.concatenate([10.0 ** random.uniform(-6, 3, 40), [0.0]])
    weight = (random.standard_normal((41, 30)).T * scales).T.astype(np.float32)
    rows, steps = quantized_rows(weight, kind)
    assert np.array_equal(steps.astype(kind).astype(np.float32), steps)
    assert np.abs(rows.astype(int)).max() <= 127
    largest = np.abs(weight).max(axis=1)
    assert (steps * np.float32(127.0001) >= largest).all()
    precise = largest / 127 > float(ml_dtypes.finfo(kind).tiny)
    share = float(ml_dtypes.finfo(kind).eps)
    assert (steps[precise] <= largest[precise] / 127 * (1 + 1.01 * share)).all()
    error = np.abs(dequantized_rows(rows, steps) - weight).max(axis=1)
    assert (error <= 0.5 * steps * (1 + 1e-4)).all()
    assert steps[-1] == 0
    assert not rows[-1].any()


def test_whole_multiples_of_a_step_stay_and_zeros_are_zeros() -> None:
    rows = np.arange(-127, 128, dtype=np.float32)
    weight = np.stack([rows * 2.0**-9, np.zeros_like(rows), np.full_like(rows, 1e-42)])
    found, steps = quantized_rows(weight)
    assert np.array_equal(found[0], rows)
    assert np.array_equal(dequantized_rows(found, steps)[:2], weight[:2])
    assert not found[2].any()  # a step would be no normal number
    assert not steps[1:].any()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_row_that_is_not_finite_shows_in_its_step(value: float) -> None:
    weight = np.ones((3, 4), np.float32)
    weight[1, 2] = value
    assert np.isfinite(quantized_rows(weight)[1]).tolist() == [True, False, True]


def test_no_float32_copy_of_a_weight_is_made() -> None:
    weight = np.ones((2048, 2048), np.float16)
    tracemalloc.start()
    quantized_rows(weight)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # 4 MB of 8 bits, and what a million numbers take; a copy in float32 has 16.8 MB.
    assert peak < weight.size + 2.2 * 4 * module._CHUNK
