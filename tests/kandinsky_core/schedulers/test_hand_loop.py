"""Loops written by hand, on NumPy alone: their state, and what they refuse."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

from kandinsky_core import Generator
from kandinsky_core.errors import ConfigError, InvalidInputError
from kandinsky_core.schedulers import (
    DDIMScheduler,
    DDPMScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
    Kandinsky3FlashScheduler,
    LMSDiscreteScheduler,
    PNDMScheduler,
    Scheduler,
    UnCLIPScheduler,
    UniPCMultistepScheduler,
    step,
)

ONES = np.ones((2, 3, 4, 4), np.float32)


def denoised(scheduler: Scheduler, steps: int) -> Any:
    scheduler.set_timesteps(steps)
    sample = ONES * scheduler.init_noise_sigma
    generator = Generator(0)
    for time in scheduler.timesteps:
        output = np.tanh(scheduler.scale_model_input(sample, time))
        sample = scheduler.step(output, time, sample, generator=generator).prev_sample
    return sample


@pytest.mark.parametrize(
    "scheduler", [UniPCMultistepScheduler(), HeunDiscreteScheduler(), Kandinsky3FlashScheduler()]
)
def test_a_loop_by_hand_takes_the_rows_of_the_schedule(scheduler: Scheduler) -> None:
    schedule = scheduler.schedule(4)
    sample, left = ONES * np.float32(schedule.init_noise_sigma), None
    generator = Generator(0)
    for row, draws in zip(schedule.rows, schedule.draws, strict=True):
        noise = generator.randn(ONES.shape) if draws else None
        sample, left = step(row, sample, np.tanh(row[8] * sample), left, noise)
    np.testing.assert_array_equal(denoised(scheduler, 4), sample)


def test_a_loop_is_no_part_of_the_config() -> None:
    used, fresh = UniPCMultistepScheduler(), UniPCMultistepScheduler()
    first = denoised(used, 5)
    assert used == fresh
    assert hash(used) == hash(fresh)
    assert dict(used.config) == dict(fresh.config)
    assert fresh.num_inference_steps is None
    np.testing.assert_array_equal(denoised(used, 5), first, "a second loop begins anew")
    rows = used.schedule(7).rows
    np.testing.assert_array_equal(rows, fresh.schedule(7).rows, "pipelines do not see loops")


def pickled(scheduler: Scheduler) -> Any:
    return pickle.loads(pickle.dumps(scheduler))


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickled])
def test_a_copy_goes_on_alone(copied: Any) -> None:
    scheduler = UniPCMultistepScheduler()
    scheduler.set_timesteps(4)
    time = scheduler.timesteps[0]
    scheduler.step(ONES, time, ONES)
    other = copied(scheduler)
    results = [each.step(ONES, time, 2 * ONES).prev_sample for each in (other, scheduler)]
    np.testing.assert_array_equal(*results)
    assert other.step_index == scheduler.step_index == 2


def refused(call: Any) -> str:
    with pytest.raises(InvalidInputError) as caught:
        call()
    return str(caught.value)


def test_a_loop_in_the_wrong_order_is_refused() -> None:
    euler = EulerDiscreteScheduler()
    assert "call set_timesteps" in refused(lambda: euler.step(ONES, 999, ONES))
    assert "call set_timesteps" in refused(lambda: DDIMScheduler().step(ONES, 999, ONES))
    assert "call set_timesteps" in refused(lambda: euler.set_begin_index(1))
    euler.set_timesteps(2)
    assert "none of this loop's 2 timesteps 999 ... 0" in refused(
        lambda: euler.step(ONES, 500, ONES)
    )
    for time in euler.timesteps:
        euler.step(ONES, time, ONES)
    assert "2 timesteps is over" in refused(lambda: euler.step(ONES, 0, ONES))
    assert "begin_index=2" in refused(lambda: euler.set_begin_index(2))
    heun = HeunDiscreteScheduler()
    heun.set_timesteps(5)
    heun.set_begin_index(3)
    assert "between the 2 evaluations" in refused(lambda: heun.step(ONES, 0, ONES))
    pndm = PNDMScheduler(skip_prk_steps=True)
    pndm.set_timesteps(5)
    assert "begin with the first" in refused(lambda: pndm.step(ONES, pndm.timesteps[3], ONES))
    assert "take at least 4" in refused(lambda: PNDMScheduler().schedule(3))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((ONES[:1], 500, ONES), "model_output has shape"),
        ((ONES, 500.5, ONES), "an integer from 0 to 999"),
        ((ONES, -1, ONES), "an integer from 0 to 999"),
        ((ONES, "now", ONES), "give one number"),
        ((ONES, [1, 2], ONES), "give one number"),
        ((ONES, 500, ONES, 3), "generator is a int"),
        ((ONES, 500, ONES, [Generator(0)]), "1 entries for 2 rows"),
        ((ONES, 500, ONES, None, ONES[:1]), "variance_noise has shape"),
        ((ONES, 500, ONES, Generator(0), ONES), "not both"),
        (("abc", 500, ONES), "model_output is a str"),
    ],
)
def test_wrong_arguments_are_named(arguments: tuple[Any, ...], said: str) -> None:
    assert said in refused(lambda: DDPMScheduler().step(*arguments))


def test_more_wrong_arguments_are_named() -> None:
    scheduler = DDPMScheduler()
    assert "needs num_inference_steps" in refused(scheduler.set_timesteps)
    assert "from 1 to 1000" in refused(lambda: scheduler.set_timesteps(0))
    assert "timesteps=...) is not" in refused(lambda: scheduler.set_timesteps(timesteps=[3, 2]))
    with pytest.raises(TypeError, match="'steps'"):
        scheduler.set_timesteps(3, steps=4)
    learned = DDPMScheduler(variance_type="learned_range")
    assert "twice the sample's channels" in refused(lambda: learned.step(ONES, 5, ONES))
    euler = EulerDiscreteScheduler()
    assert "s_churn=1" in refused(lambda: euler.step(ONES, 5, ONES, 1))
    assert "order=3" in refused(lambda: LMSDiscreteScheduler().step(ONES, 5, ONES, 3))
    assert "eta=2" in refused(lambda: DDIMScheduler().step(ONES, 5, ONES, 2))
    prior = UnCLIPScheduler()
    assert "prev_timestep=5" in refused(lambda: prior.step(ONES, 5, ONES, 5))
    assert "3 entries for 2 rows" in refused(lambda: scheduler.add_noise(ONES, ONES, [1, 2, 3]))
    assert "the same shape" in refused(lambda: scheduler.add_noise(ONES, ONES[:1], 3))
    assert "whole timesteps" in refused(lambda: euler.get_velocity(ONES, ONES, 2.5))
    with pytest.raises(ConfigError, match=r"from_config\(scheduler.config, beta_end=...\)"):
        scheduler.register_to_config(beta_end=0.1)


def test_names_of_the_result() -> None:
    scheduler = DDPMScheduler()
    result = scheduler.step(ONES, 0, ONES)
    assert result.prev_sample is result["prev_sample"]
    assert result[0] is result.prev_sample
    assert result.to_tuple()[1] is result.pred_original_sample
    with pytest.raises(KeyError):
        result["sample"]
    pair = scheduler.step(ONES, 0, ONES, return_dict=False)
    assert isinstance(pair, tuple)
    np.testing.assert_array_equal(pair[0], result.prev_sample)
