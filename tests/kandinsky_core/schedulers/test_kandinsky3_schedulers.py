"""The samplers of Kandinsky 3's own code against a transcription, and published coefficients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kandinsky_core import DDPMScheduler, Kandinsky3FlashScheduler, Kandinsky3Scheduler
from kandinsky_core.errors import ConfigError, InvalidInputError
from kandinsky_core.schedulers import scheduler_by_name, scheduler_from_config, step
from kandinsky_core.schedulers.schedule import ROW_FIELDS
from tests.support import kandinsky3_reference as reference

SHAPE = (2, 4, 6, 8)


def stream() -> Any:
    rng = np.random.default_rng(5)
    return lambda: rng.standard_normal(SHAPE, np.float32)


def predict(x: Any, timestep: int) -> Any:
    """A network of one line, which depends on all that it is told."""
    return np.tanh(x * (1 + timestep / 1000)) + np.float32(timestep / 5000)


def run(schedule: Any, x: Any, draw: Any) -> Any:
    for index, timestep in enumerate(schedule.timesteps):
        fresh = draw() if schedule.draws[index] else None
        x, _ = step(
            schedule.rows[index],
            x,
            predict(x, int(timestep)),
            None,
            fresh,
            threshold=schedule.rule.threshold,
            sort=np.sort,
        )
    return x


@pytest.mark.parametrize("steps", [2, 10, 30, 50])
@pytest.mark.parametrize(("percentile", "eta"), [(0.99, 1.0), (0.95, 0.3), (0.5, 0.0)])
def test_every_step_is_that_of_the_transcription(steps: int, percentile: float, eta: float) -> None:
    schedule = Kandinsky3Scheduler(percentile=percentile, eta=eta).schedule(steps)
    times = reference.times_of(steps)
    assert list(schedule.timesteps) == times
    draw, theirs = stream(), stream()
    expected = reference.sample(predict, theirs, times, percentile, eta)
    np.testing.assert_allclose(run(schedule, draw(), draw), expected, atol=2e-5)
    np.testing.assert_array_equal(draw(), theirs())  # as many numbers were drawn


@pytest.mark.parametrize(
    ("steps", "rounded", "exact"),
    [
        (5, 2.441e-4, 1.456e-4),
        (10, 3.45e-4, 3.10e-4),
        (25, 8.10e-4, 7.88e-4),
        (30, 9.77e-4, 9.28e-4),
        (50, 1.582e-3, 1.580e-3),
    ],
)
def test_in_float32_the_first_step_keeps_more_of_the_noise(
    steps: int, rounded: float, exact: float
) -> None:
    """At timestep 999 the sample is noise, so its factor is that of the predicted noise."""
    factor = ROW_FIELDS.index("mean_from_sample")
    first = Kandinsky3Scheduler(float32_variance=True).schedule(steps).rows[0, factor]
    assert first == pytest.approx(rounded, rel=1e-3)
    assert Kandinsky3Scheduler().schedule(steps).rows[0, factor] == pytest.approx(exact, rel=1e-3)


@pytest.mark.parametrize("steps", [1, 3])
def test_in_float32_no_root_is_taken_of_what_rounding_made_negative(steps: int) -> None:
    table = reference.abars().astype(np.float32)
    times = [*reference.times_of(steps), 0]
    assert np.isnan(reference.spread(table[999], table[times[1]], np.float32(1))[1])
    schedule = Kandinsky3Scheduler(float32_variance=True).schedule(steps)
    np.testing.assert_array_equal(schedule.rows[0], Kandinsky3Scheduler().schedule(steps).rows[0])


@pytest.mark.parametrize("steps", [1, 2, 3, 5, 30])
@pytest.mark.parametrize("eta", [1.0, 0.3, 0.0])
def test_every_step_in_float32_is_that_of_the_transcription(steps: int, eta: float) -> None:
    schedule = Kandinsky3Scheduler(eta=eta, float32_variance=True).schedule(steps)
    draw, theirs = stream(), stream()
    times = reference.times_of(steps)
    expected = reference.sample(predict, theirs, times, 0.99, eta, single=True)
    np.testing.assert_allclose(run(schedule, draw(), draw), expected, atol=2e-5)


@pytest.mark.parametrize(
    ("steps", "first", "last", "count"),
    [(50, 979, 19, 50), (25, 959, 39, 25), (30, 965, 13, 30), (400, 996, 3, 333)],
)
def test_timesteps(steps: int, first: int, last: int, count: int) -> None:
    times = Kandinsky3Scheduler().schedule(steps).timesteps
    assert (times[0], times[1], times[-1], len(times)) == (999, first, last, count)


@pytest.mark.parametrize(("steps", "start", "count"), [(50, 35, 15), (400, 0, 333), (400, 390, 10)])
def test_image_to_image_takes_the_last_steps(steps: int, start: int, count: int) -> None:
    whole = Kandinsky3Scheduler().schedule(steps)
    part = Kandinsky3Scheduler().schedule(steps, start)
    np.testing.assert_array_equal(part.timesteps, whole.timesteps[-count:])
    np.testing.assert_array_equal(part.rows, whole.rows[-count:])


def test_with_thresholding_without_bound_it_is_ddpm_but_for_the_last_step() -> None:
    """The fact that facts sheets give: there DDPM leads to the clean sample, this to timestep 0."""
    ours = Kandinsky3Scheduler().schedule(50)
    betas = DDPMScheduler(beta_schedule="squaredcos_cap_v2")
    alpha = betas.alphas_cumprod[ours.timesteps].astype(np.float64)
    following = np.append(alpha[1:], betas.alphas_cumprod[0])
    beta = 1 - alpha / following
    mean_from_x0 = np.sqrt(following) * beta / (1 - alpha)
    mean_from_sample = np.sqrt(alpha / following) * (1 - following) / (1 - alpha)
    np.testing.assert_allclose(ours.rows[:, 3], mean_from_x0, atol=2e-4)
    np.testing.assert_allclose(ours.rows[:, 4], mean_from_sample, atol=2e-4)


@pytest.mark.parametrize(
    ("timestep", "signal", "noise"),
    [
        (979, 0.0311639701, 0.999514286),
        (729, 0.408475999, 0.912769061),
        (479, 0.724571966, 0.689199149),
        (229, 0.932080299, 0.362251731),
        (999, 4.92825e-5, 1.0),
        (0, 0.999979358, 0.00642528),
    ],
)
def test_the_published_coefficients(timestep: int, signal: float, noise: float) -> None:
    for scheduler in (Kandinsky3FlashScheduler(), Kandinsky3Scheduler()):
        alpha = scheduler.alphas_cumprod[timestep]
        assert np.sqrt(alpha) == pytest.approx(signal, rel=1e-5)
        assert np.sqrt(1 - alpha) == pytest.approx(noise, rel=1e-5, abs=2e-6)
    found = Kandinsky3FlashScheduler().schedule(4)
    if timestep in found.timesteps:
        row = list(found.timesteps).index(timestep)
        np.testing.assert_allclose(found.noising[row], (signal, noise), rtol=1e-6)


@pytest.mark.parametrize(
    ("timestep", "signal", "noise"),
    [
        (979, 0.00776009692, 0.99996989),
        (729, 0.0672124564, 0.997738686),
        (479, 0.309506411, 0.950897356),
        (229, 0.760162499, 0.649733003),
        (999, 0.00635281809, 0.99997982),
        (0, 0.99995, 0.01),
    ],
)
def test_the_published_coefficients_of_linear_betas(
    timestep: int, signal: float, noise: float
) -> None:
    alpha = Kandinsky3FlashScheduler(beta_schedule="linear").alphas_cumprod[timestep]
    assert np.sqrt(alpha) == pytest.approx(signal, rel=1e-5)
    assert np.sqrt(1 - alpha) == pytest.approx(noise, rel=1e-5, abs=3e-6)


def test_flash_is_the_transcription() -> None:
    schedule = Kandinsky3FlashScheduler().schedule(4)
    assert tuple(schedule.timesteps) == reference.FLASH
    draw, theirs = stream(), stream()
    expected = reference.flash(predict, theirs)
    got = run(schedule, schedule.noised(draw(), draw()), draw)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(draw(), theirs())


def test_flash_takes_four_steps_of_which_the_last_refines_a_picture() -> None:
    with pytest.raises(InvalidInputError, match="num_inference_steps=25: Flash was trained for 4"):
        Kandinsky3FlashScheduler().schedule(25)
    last = Kandinsky3FlashScheduler().schedule(4, 3)
    assert list(last.timesteps) == [229]
    assert not last.draws.any()
    np.testing.assert_allclose(last.noising[0], (0.932080299, 0.362251731), rtol=1e-6)


def test_configs() -> None:
    scheduler = Kandinsky3Scheduler(percentile=0.95, eta=0.5)
    assert scheduler_from_config(scheduler.config) == scheduler
    assert scheduler_from_config({"_class_name": "Kandinsky3FlashScheduler"}).config["_class_name"]
    published = {
        "_class_name": "DDPMScheduler",
        "beta_schedule": "squaredcos_cap_v2",
        "steps_offset": 1,
        "thresholding": False,
        "dynamic_thresholding_ratio": 0.995,
        "sample_max_value": 1.0,
    }
    chosen = scheduler_by_name("kandinsky3", published)
    assert chosen == Kandinsky3Scheduler()
    back = DDPMScheduler.from_config(chosen.config)
    assert (back.beta_schedule, back.steps_offset) == ("squaredcos_cap_v2", 1)
    for field in ("percentile", "eta"):
        for value in (-0.1, 1.5, True, "much"):
            with pytest.raises(ConfigError, match=f"Kandinsky3Scheduler: {field}="):
                Kandinsky3Scheduler(**{field: value})
    with pytest.raises(ConfigError, match="prediction_type='sample' is not supported"):
        Kandinsky3Scheduler(prediction_type="sample")
