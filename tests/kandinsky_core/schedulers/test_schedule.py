"""The arithmetic of one step: by hand, and the same on NumPy and JAX."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kandinsky_core.arrays import FloatArray
from kandinsky_core.schedulers import (
    ROW_FIELDS,
    DDPMScheduler,
    HeunDiscreteScheduler,
    Schedule,
    Scheduler,
    UniPCMultistepScheduler,
    step,
)
from kandinsky_core.schedulers.schedule import make_rows
from kandinsky_core.seam.step_rules import Kept, Threshold

SHAPE = (2, 4, 6, 5)


def arrays(count: int) -> list[FloatArray]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal(SHAPE, dtype=np.float32) for _ in range(count)]


def row_of(**columns: float) -> FloatArray:
    return make_rows(1, **columns)[0]


def test_every_column_by_hand() -> None:
    row = row_of(
        x0_from_sample=2,
        x0_from_output=-1,
        x0_clip=3,
        mean_from_x0=0.5,
        mean_from_sample=0.25,
        mean_from_previous_x0=10,
        noise_scale=100,
        mean_from_output=1000,
    )
    one = np.float32([1, 4])
    result, x0 = step(row, one, np.float32([1, 0]), np.float32([1, 2]), np.float32([0, 1]))
    np.testing.assert_array_equal(x0, [1, 3])  # 2 - 1; 8 clipped
    np.testing.assert_array_equal(result, [0.5 + 0.25 + 10 + 1000, 1.5 + 1 + 20 + 100])


def test_absent_terms_count_as_zero() -> None:
    sample, output, zero = [*arrays(2), np.zeros(SHAPE, np.float32)]
    row = DDPMScheduler().schedule(10).rows[3]
    with_zeros = step(row, sample, output, zero, zero)
    without = step(row, sample, output, None, None)
    np.testing.assert_array_equal(with_zeros[0], without[0])
    np.testing.assert_array_equal(with_zeros[1], without[1])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_dtype_of_the_sample_is_kept(dtype: type[np.floating]) -> None:
    sample, output, previous, noise = arrays(4)
    row = row_of(x0_from_output=1, x0_clip=np.inf, mean_from_x0=1, noise_scale=0.5)
    for result in step(row, sample.astype(dtype), output, previous, noise):
        assert result.dtype == dtype


def test_row_of_another_length_is_refused() -> None:
    sample, output = arrays(2)
    with pytest.raises(ValueError, match=r"13 numbers.*, not 7"):
        step(np.zeros(7, np.float32), sample, output, None, None)


def test_learned_variance_by_hand() -> None:
    row = row_of(noise_scale=1, log2_deviation_low=-3, log2_deviation_high=1)
    zero, noise = np.zeros(3, np.float32), np.float32([8, 8, 4])
    result, _ = step(row, zero, zero, None, noise, variance=np.float32([-1, 0, 1]))
    np.testing.assert_array_equal(result, [1, 4, 8])  # deviations 1/8, the geometric mean 1/2, 2
    silent = step(row_of(), zero, zero, None, noise, variance=np.float32([-1, 0, 1]))
    np.testing.assert_array_equal(silent[0], 0)


def test_threshold_by_hand() -> None:
    row = row_of(x0_from_output=1, x0_clip=0.5, mean_from_x0=2)
    outputs = np.float32([[0.5, -4, 1, 2, -3], [0.1, -0.2, 0.3, -0.4, 9], [8, 9, 8, -9, 8]])
    outputs = outputs.reshape(3, 1, 5)
    # place 0.875 * 4 = 3.5: halfway between the largest two magnitudes; at least 1, at most 6
    limits = np.float32([3.5, 4.7, 6]).reshape(3, 1, 1)
    expected = np.clip(outputs, -limits, limits) / limits
    threshold = Threshold(0.875, 6.0)
    result, x0 = step(row, 0 * outputs, outputs, None, None, threshold=threshold, sort=np.sort)
    np.testing.assert_allclose(x0, expected, rtol=1e-6)
    np.testing.assert_allclose(result, 2 * expected, rtol=1e-6)
    # a quantile below 1 clips at 1, as ratio 0.25 does here in the middle; the last place is N - 1
    _, x0 = step(row, 0 * outputs, outputs, None, None, threshold=Threshold(0.25, 6), sort=np.sort)
    np.testing.assert_array_equal(x0[1], np.clip(outputs[1], -1, 1))
    _, x0 = step(
        row, 0 * outputs, outputs, None, None, threshold=Threshold(1, np.inf), sort=np.sort
    )
    np.testing.assert_allclose(x0[1], outputs[1] / 9, rtol=1e-6)


def test_kept_by_hand() -> None:
    row = row_of(mean_from_sample=10, kept_from_original=0.5, kept_from_noise=2)
    sample = np.float32([[[1, 2], [3, 4]]])  # [1, 2, 2]: batch, channels, places
    kept = Kept(
        original=np.float32([[[2, 4], [6, 8]]]),
        noise=np.float32([[[1, 1], [-1, -1]]]),
        mask=np.float32([[[1, 0.25]]]),
    )
    result, _ = step(row, sample, sample, None, None, kept=kept)
    np.testing.assert_array_equal(result, [[[3, 0.25 * 4 + 0.75 * 20], [1, 0.25 * 2 + 0.75 * 40]]])


def test_schedule_checks_its_shapes() -> None:
    with pytest.raises(ValueError, match="2 timesteps need rows"):
        Schedule(
            timesteps=np.array([1, 0]),
            rows=make_rows(3, x0_clip=np.inf),
            draws=np.zeros(2, bool),
            noising=np.zeros((2, 2), np.float32),
        )
    with pytest.raises(TypeError, match="no_column"):
        make_rows(2, no_column=1)


def test_schedule_leaves_the_given_rows_alone() -> None:
    rows = make_rows(2)
    noising = np.float32([[0.25, 0.75], [0.5, 0.5]])
    draws = np.zeros(2, bool)
    schedule = Schedule(timesteps=np.array([1, 0]), rows=rows, draws=draws, noising=noising)
    np.testing.assert_array_equal(schedule.rows[:, -2:], [[0.5, 0.5], [1, 0]])
    np.testing.assert_array_equal(rows[:, -2:], 0)
    assert schedule.noised(np.float32(4), np.float32(8)) == 7


@pytest.mark.parametrize("clip_sample", [True, False])
def test_jax_compiled_equals_numpy(clip_sample: bool) -> None:
    jax = pytest.importorskip("jax")
    schedule = DDPMScheduler(clip_sample=clip_sample).schedule(12)
    compiled = jax.jit(step)
    sample, output, previous, noise = arrays(4)
    for row in schedule.rows:
        assert len(row) == len(ROW_FIELDS)
        row = row + row_of(mean_from_previous_x0=0.5, mean_from_output=0.25)
        expected = step(row, sample, output, previous, noise)
        got = compiled(row, sample, output, previous, noise)
        for ours, theirs in zip(expected, got, strict=True):
            assert theirs.dtype == np.float32
            np.testing.assert_allclose(theirs, ours, rtol=2e-6, atol=2e-6)
    assert compiled._cache_size() == 1


def test_registers_by_hand() -> None:
    """One register: its weight in the mean, then what its new value is made of."""
    row = np.append(row_of(x0_from_output=2, mean_from_x0=1), [10, 1, 0, 0, 0.5, 0.25])
    row[ROW_FIELDS.index("x0_clip")] = np.inf
    one = np.float32([1, 4])
    first, left = step(row, one, one, None, None)
    np.testing.assert_array_equal(first, [2, 8])
    np.testing.assert_array_equal(left, [[2, 8], [1, 4]])  # x0, and the register: the sample
    second, left = step(row, one, one, left, None)
    np.testing.assert_array_equal(second, [2 + 10, 8 + 40])
    np.testing.assert_array_equal(left[1], [1 + 1 + 0.25, 4 + 4 + 1])


@pytest.mark.parametrize("scheduler", [UniPCMultistepScheduler(), HeunDiscreteScheduler()])
def test_jax_compiled_equals_numpy_with_registers(scheduler: Scheduler) -> None:
    jax = pytest.importorskip("jax")
    schedule = scheduler.schedule(6)
    compiled = jax.jit(lambda *arguments: step(*arguments, None))
    sample, output = arrays(2)
    zeros = jax.numpy.zeros_like(sample)
    mine, theirs = None, (zeros,) * (1 + schedule.rule.registers)
    got = jax.numpy.asarray(sample)
    for row in schedule.rows:
        sample, mine = step(row, sample, output, mine, None)
        got, theirs = compiled(row, got, output, theirs)
        scale = np.abs(sample).max()
        np.testing.assert_allclose(got, sample, rtol=0, atol=1e-5 * scale)
    assert compiled._cache_size() == 1


# Every part of a step at once, as learned_range, thresholding and inpainting ask for together.
EVERYTHING = row_of(
    x0_from_sample=1.5,
    x0_from_output=-0.5,
    mean_from_x0=0.75,
    mean_from_sample=0.25,
    mean_from_previous_x0=-0.5,
    noise_scale=1,
    mean_from_output=0.125,
    log2_deviation_low=-4,
    log2_deviation_high=-1,
    kept_from_original=0.6,
    kept_from_noise=0.8,
)


def everything() -> tuple[list[FloatArray], FloatArray, list[FloatArray]]:
    """Return the arguments of a step that has every part: arrays, variance, and what is kept."""
    *given, variance, original, noise, mask = arrays(8)
    return given, np.clip(variance, -1, 1), [original, noise, np.float32(mask[:, :1] > 0)]


@pytest.mark.parametrize("threshold", [None, Threshold(0.9, 1.5), Threshold(0.995, np.inf)])
def test_jax_compiled_equals_numpy_in_every_part(threshold: Threshold | None) -> None:
    jax = pytest.importorskip("jax")
    given, variance, kept = everything()
    row = EVERYTHING + row_of(input_scale=0, x0_clip=1)

    def run(sort: Any, row: Any, given: Any, variance: Any, kept: Any) -> Any:
        names = ("original", "noise", "mask")
        keeping = Kept(**dict(zip(names, kept, strict=True)))
        return step(row, *given, variance=variance, threshold=threshold, sort=sort, kept=keeping)

    expected = run(np.sort, row, given, variance, kept)
    compiled = jax.jit(lambda *args: run(lambda a: jax.numpy.sort(a, axis=-1), *args))
    got = compiled(row, given, variance, kept)
    for ours, theirs in zip(expected, got, strict=True):
        assert theirs.dtype == np.float32
        np.testing.assert_allclose(theirs, ours, rtol=2e-6, atol=2e-6)


def test_jax_half_precision_computes_in_float32() -> None:
    jax = pytest.importorskip("jax")
    row = row_of(x0_from_output=1, x0_clip=np.inf, mean_from_x0=1.001, mean_from_sample=-1)
    one = jax.numpy.ones((4,), jax.numpy.bfloat16)
    result, x0 = jax.jit(step)(row, one, one, one, one)
    assert result.dtype == x0.dtype == jax.numpy.bfloat16
    # 1.001 is 1 in bfloat16: the difference survives only if the row stays float32
    np.testing.assert_allclose(np.asarray(result, np.float32), 0.001, rtol=0.01)
