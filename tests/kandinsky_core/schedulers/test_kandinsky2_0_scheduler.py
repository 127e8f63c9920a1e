"""The samplers of the original Kandinsky 2.0; `tests/parity/test_kandinsky2_0.py` runs them."""

from __future__ import annotations

import numpy as np
import pytest

from kandinsky_core import DDIMScheduler, Kandinsky20Scheduler
from kandinsky_core.errors import ConfigError, InvalidInputError
from kandinsky_core.schedulers.schedule import make_rows, step
from kandinsky_core.seam.step_rules import Kept, Threshold


@pytest.mark.parametrize(
    ("steps", "count", "first"),
    [(100, 100, 991), (75, 77, 989), (30, 31, 991), (37, 37, 973), (27, 27, 963), (600, 999, 999)],
)
def test_ddim_divides_into_whole_parts(steps: int, count: int, first: int) -> None:
    """The original fails with 37, 27 and 600 steps, whose first timestep would be 1000."""
    for sampler in ("current", "first-release"):
        timesteps = Kandinsky20Scheduler(sampler=sampler).schedule(steps).timesteps
        assert (len(timesteps), timesteps[0], timesteps[-1]) == (count, first, 1)


def test_current_is_ddim_where_the_steps_divide_the_training() -> None:
    ours = Kandinsky20Scheduler().schedule(50)
    theirs = DDIMScheduler(clip_sample=False, set_alpha_to_one=False, steps_offset=1).schedule(50)
    np.testing.assert_array_equal(ours.timesteps, theirs.timesteps)
    np.testing.assert_array_equal(ours.rows, theirs.rows)


def test_ddpm_spreads_its_steps() -> None:
    schedule = Kandinsky20Scheduler(sampler="ddpm").schedule(25)
    np.testing.assert_array_equal(schedule.timesteps[[0, 1, -1]], [999, 957, 0])
    assert schedule.rule.learned_variance
    assert list(schedule.draws[-2:]) == [True, False]
    assert Kandinsky20Scheduler(sampler="ddpm").schedule(1).timesteps.tolist() == [0]


def test_the_last_steps_of_a_loop() -> None:
    for sampler in ("current", "first-release", "ddpm"):
        scheduler = Kandinsky20Scheduler(sampler=sampler)
        whole, part = scheduler.schedule(10), scheduler.schedule(10, 7)
        np.testing.assert_array_equal(part.timesteps, whole.timesteps[-3:])
        np.testing.assert_array_equal(part.rows, whole.rows[-3:])
    with pytest.raises(InvalidInputError, match="leaves none"):
        Kandinsky20Scheduler().schedule_from(10, 0.0005)


@pytest.mark.parametrize(
    "changes",
    [
        {"eta": 2.0},
        {"eta": 0.5, "sampler": "ddpm"},
        {"sampler": "plms"},
        {"dynamic_thresholding_ratio": 1.5},
    ],
)
def test_wrong_values(changes: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="Kandinsky20Scheduler"):
        Kandinsky20Scheduler(**changes)  # type: ignore[arg-type]


def test_every_sample_has_its_own_threshold_and_the_kept_part_is_mixed_in() -> None:
    """The original takes the threshold of the first sample for all of them."""
    sample = np.array([[2.0, -4.0], [0.5, 8.0]], np.float32).reshape(2, 1, 1, 2)
    row = make_rows(1, x0_from_sample=1, mean_from_x0=1)[0]
    mask = np.array([1.0, 0.0], np.float32).reshape(1, 1, 1, 2)
    kept = Kept(original=np.full_like(sample, -3), noise=np.zeros_like(sample), mask=mask)
    rule = {"threshold": Threshold(1.0, np.inf), "sort": np.sort}
    alone, _ = step(row, sample, sample, None, None, **rule)
    np.testing.assert_allclose(alone.ravel(), [0.5, -1, 0.0625, 1])
    mixed, _ = step(row, sample, sample, None, None, kept=kept, blends_x0=True, **rule)
    np.testing.assert_allclose(mixed.ravel(), [-1, -1 / 3, -1, 1 / 3])
