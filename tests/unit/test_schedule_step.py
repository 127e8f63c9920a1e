"""The arithmetic of one step: by hand, and the same on NumPy and JAX."""

from __future__ import annotations

import numpy as np
import pytest

from kandinsky_core.interfaces import FloatArray
from kandinsky_core.schedulers import ROW_FIELDS, DDPMScheduler, Schedule, step
from kandinsky_core.schedulers.schedule import make_rows

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
    with pytest.raises(ValueError, match="8 numbers, not 7"):
        step(np.zeros(7, np.float32), sample, output, None, None)


def test_schedule_checks_its_shapes() -> None:
    with pytest.raises(ValueError, match="2 timesteps need rows"):
        Schedule(
            timesteps=np.array([1, 0]),
            rows=make_rows(3, x0_clip=np.inf),
            draws=np.zeros(2, bool),
        )
    with pytest.raises(TypeError, match="no_column"):
        make_rows(2, no_column=1)


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


def test_jax_half_precision_computes_in_float32() -> None:
    jax = pytest.importorskip("jax")
    row = row_of(x0_from_output=1, x0_clip=np.inf, mean_from_x0=1.001, mean_from_sample=-1)
    one = jax.numpy.ones((4,), jax.numpy.bfloat16)
    result, x0 = jax.jit(step)(row, one, one, one, one)
    assert result.dtype == x0.dtype == jax.numpy.bfloat16
    # 1.001 is 1 in bfloat16: the difference survives only if the row stays float32
    np.testing.assert_allclose(np.asarray(result, np.float32), 0.001, rtol=0.01)
