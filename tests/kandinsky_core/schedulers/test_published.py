"""Schedules against the fact sheet's figures (diffusers 0.39 run on the published configs)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kandinsky_core.errors import ConfigError, InvalidInputError
from kandinsky_core.schedulers import (
    ROW_FIELDS,
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    Schedule,
    UnCLIPScheduler,
    scheduler_from_config,
)
from kandinsky_core.seam.step_rules import PLAIN_RULE, StepRule, Threshold

DDIM_2_1 = {
    "_class_name": "DDIMScheduler",
    "_diffusers_version": "0.17.0.dev0",
    "num_train_timesteps": 1000,
    "beta_schedule": "linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
    "prediction_type": "epsilon",
    "thresholding": False,
}
DDPM_2_2 = DDIM_2_1 | {"_class_name": "DDPMScheduler", "clip_sample": True}
UNCLIP = {
    "_class_name": "UnCLIPScheduler",
    "clip_sample": True,
    "clip_sample_range": 10.0,
    "num_train_timesteps": 1000,
    "prediction_type": "sample",
    "variance_type": "fixed_small_log",
    "beta_schedule": "squaredcos_cap_v2",
}
ALL = [DDIM_2_1, DDPM_2_2, UNCLIP]


def column(schedule: Schedule, name: str) -> np.ndarray[Any, np.dtype[np.float32]]:
    return schedule.rows[:, ROW_FIELDS.index(name)]


def test_unclip_timesteps_of_25_steps() -> None:
    expected = (
        "999 957 916 874 832 791 749 708 666 624 583 541 500 458 416 375 333 291 250 208 166 125"
        " 83 42 0"
    )
    schedule = scheduler_from_config(UNCLIP).schedule(25)
    assert schedule.timesteps.tolist() == [int(number) for number in expected.split()]
    assert schedule.timesteps.dtype == np.int64
    assert schedule.draws.sum() == 24
    assert not schedule.draws[-1]


@pytest.mark.parametrize(
    ("index", "from_x0", "from_sample", "noise"),
    [
        (0, 0.065408, 0.000769, 0.997858),
        (1, 0.096236, 0.500781, 0.856535),
        (5, 0.125470, 0.798596, 0.531670),
        (12, 0.172320, 0.818689, 0.319509),
        (20, 0.417527, 0.582301, 0.135190),
        (23, 0.993300, 0.006697, 0.006405),
        (24, 0.999472, 0.0, 0.0),
    ],
)
def test_unclip_rows_of_25_steps(
    index: int, from_x0: float, from_sample: float, noise: float
) -> None:
    row = scheduler_from_config(UNCLIP).schedule(25).rows[index]
    expected = [0, 1, 10, from_x0, from_sample, 0, noise, 0, 1, 0, 0]
    np.testing.assert_allclose(row[:11], expected, rtol=0, atol=6e-7)


def test_unclip_single_step_goes_straight_to_x0() -> None:
    schedule = scheduler_from_config(UNCLIP).schedule(1)
    assert schedule.timesteps.tolist() == [999]
    assert schedule.draws.tolist() == [False]
    expected = np.float32([0, 1, 10, 1, 0, 0, 0, 0, 1, 0, 0, 1, 0])
    np.testing.assert_array_equal(schedule.rows[0], expected)


@pytest.mark.parametrize(
    ("index", "timestep", "from_x0", "from_sample", "noise"),
    [
        (0, 981, 0.010456, 0.888571, 0.457722),
        (24, 501, 0.060504, 0.914238, 0.341019),
        (48, 21, 0.919581, 0.080414, 0.039677),
        (49, 1, 1.0, 0.0, 1e-10),
    ],
)
def test_ddpm_rows_of_50_steps(
    index: int, timestep: int, from_x0: float, from_sample: float, noise: float
) -> None:
    schedule = scheduler_from_config(DDPM_2_2).schedule(50)
    assert schedule.timesteps[index] == timestep
    row = dict(zip(ROW_FIELDS, schedule.rows[index].tolist(), strict=True))
    assert row["x0_clip"] == 1
    assert row["mean_from_x0"] == pytest.approx(from_x0, abs=6e-7)
    assert row["mean_from_sample"] == pytest.approx(from_sample, abs=6e-7)
    assert row["noise_scale"] == pytest.approx(noise, abs=6e-7, rel=1e-6)
    assert schedule.draws.sum() == 50


@pytest.mark.parametrize(
    ("steps", "first"), [(100, 991), (50, 981), (30, 958), (75, 963), (150, 895)]
)
@pytest.mark.parametrize("config", [DDIM_2_1, DDPM_2_2])
def test_decoder_timesteps(config: dict[str, Any], steps: int, first: int) -> None:
    timesteps = scheduler_from_config(config).schedule(steps).timesteps
    assert (timesteps[0], timesteps[-1], len(timesteps)) == (first, 1, steps)


@pytest.mark.parametrize(
    ("timestep", "from_sample", "from_output"),
    [
        (991, 1.061472, -0.061529),
        (491, 1.032000, -0.035247),
        (11, 1.004625, -0.063441),
        (1, 1.000431, -0.012221),
    ],
)
def test_ddim_steps_of_100(timestep: int, from_sample: float, from_output: float) -> None:
    schedule = scheduler_from_config(DDIM_2_1).schedule(100)
    row = dict(
        zip(
            ROW_FIELDS,
            schedule.rows[schedule.timesteps.tolist().index(timestep)].tolist(),
            strict=True,
        )
    )
    assert row["x0_clip"] == np.inf
    through_x0 = row["mean_from_x0"] * row["x0_from_sample"]
    assert through_x0 + row["mean_from_sample"] == pytest.approx(from_sample, abs=1e-6)
    direct = row["mean_from_output"] + row["mean_from_x0"] * row["x0_from_output"]
    assert direct == pytest.approx(from_output, abs=1e-6)
    assert not schedule.draws.any()


def test_alphas_of_the_decoder() -> None:
    alphas = scheduler_from_config(DDIM_2_1).alphas_cumprod
    assert alphas.dtype == np.float32
    expected = [0.99914998, 0.99828953, 0.98911804, 0.48509136, 0.15973598, 0.00173852, 0.00157896]
    picked = alphas[[0, 1, 11, 291, 501, 991, 999]]
    np.testing.assert_allclose(picked, expected, rtol=0, atol=1e-8)


@pytest.mark.parametrize("config", ALL)
def test_start_leaves_out_the_first_steps(config: dict[str, Any]) -> None:
    scheduler = scheduler_from_config(config)
    whole, rest = scheduler.schedule(20), scheduler.schedule(20, start=14)
    assert len(rest) == 6
    np.testing.assert_array_equal(rest.timesteps, whole.timesteps[14:])
    np.testing.assert_array_equal(rest.rows, whole.rows[14:])
    np.testing.assert_array_equal(rest.draws, whole.draws[14:])


@pytest.mark.parametrize("config", ALL)
@pytest.mark.parametrize("steps", [0, -1, 1001, 2.0, True, None, "10"])
def test_bad_step_counts(config: dict[str, Any], steps: Any) -> None:
    with pytest.raises(InvalidInputError, match="num_inference_steps"):
        scheduler_from_config(config).schedule(steps)


@pytest.mark.parametrize("start", [-1, 5, 0.5, False])
def test_bad_start(start: Any) -> None:
    with pytest.raises(InvalidInputError, match="start="):
        UnCLIPScheduler().schedule(5, start=start)


def test_offset_beyond_the_last_timestep() -> None:
    with pytest.raises(InvalidInputError, match="steps_offset=1 reaches timestep 1000"):
        scheduler_from_config(DDPM_2_2).schedule(1000)


@pytest.mark.parametrize("steps", [61, 103, 121])
def test_trailing_has_no_extra_timestep(steps: int) -> None:
    timesteps = DDPMScheduler(timestep_spacing="trailing").schedule(steps).timesteps
    assert len(timesteps) == steps
    assert timesteps.min() >= 0


def test_ddim_eta() -> None:
    assert not DDIMScheduler().schedule(4).draws.any()
    assert DDIMScheduler(eta=0.3).schedule(4).draws.all()
    scales = column(DDIMScheduler(eta=1).schedule(4), "noise_scale")
    np.testing.assert_allclose(
        scales, column(DDPMScheduler().schedule(4), "noise_scale"), rtol=2e-6
    )
    for eta in (1.5, -0.1, "0.5", None):
        with pytest.raises(ConfigError, match="eta="):
            DDIMScheduler(eta=eta)  # type: ignore[arg-type]


def test_learned_range_spans_the_two_fixed_variances() -> None:
    fields = {"beta_start": 0.00085, "beta_end": 0.012, "steps_offset": 1}
    learned = DDPMScheduler(variance_type="learned_range", **fields).schedule(25)
    assert learned.rule == StepRule(learned_variance=True)
    assert learned.draws.all()
    assert (column(learned, "noise_scale") == 1).all()
    for name, variance_type in (("low", "fixed_small"), ("high", "fixed_large")):
        fixed = DDPMScheduler(variance_type=variance_type, **fields).schedule(25)
        assert fixed.rule == PLAIN_RULE
        np.testing.assert_allclose(
            2 ** column(learned, f"log2_deviation_{name}"),
            column(fixed, "noise_scale"),
            rtol=3e-6,
        )


@pytest.mark.parametrize("cls", [DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler])
def test_thresholding_is_a_rule(cls: Any) -> None:
    scheduler = cls(thresholding=True, dynamic_thresholding_ratio=0.9, sample_max_value=2.0)
    assert scheduler.schedule(5).rule.threshold == Threshold(0.9, 2.0)
    unlimited = cls(thresholding=True, sample_max_value=None).schedule(5).rule
    assert unlimited.threshold == Threshold(0.995, np.inf)
    assert cls(dynamic_thresholding_ratio=7.0).schedule(5).rule == PLAIN_RULE
    for field, value in {"dynamic_thresholding_ratio": 1.1, "sample_max_value": 0.5}.items():
        with pytest.raises(ConfigError, match=f"{field}={value}"):
            cls(thresholding=True, **{field: value})


@pytest.mark.parametrize("config", ALL)
def test_original_is_kept_as_noisy_as_the_next_sample(config: dict[str, Any]) -> None:
    scheduler = scheduler_from_config(config)
    schedule = scheduler.schedule(8, start=3)
    one, nothing = np.ones((1, 1), np.float32), np.zeros((1, 1), np.float32)
    for index, timestep in enumerate(schedule.timesteps[1:].tolist()):
        row = dict(zip(ROW_FIELDS, schedule.rows[index], strict=True))
        assert row["kept_from_original"] == scheduler.add_noise(one, nothing, timestep)
        assert row["kept_from_noise"] == scheduler.add_noise(nothing, one, timestep)
    assert schedule.rows[-1, -2:].tolist() == [1, 0]
    start = scheduler.add_noise(one, 2 * one, int(schedule.timesteps[0]))
    np.testing.assert_allclose(schedule.noised(one, 2 * one), start, rtol=1e-7)


def test_add_noise_by_row_and_for_all() -> None:
    scheduler = UnCLIPScheduler()
    clean, noise = np.float32([[1, 2], [3, 4]]), np.float32([[1, -1], [0, 2]])
    alpha = scheduler.alphas_cumprod[[0, 500]][:, None]
    noisy = scheduler.add_noise(clean, noise, np.array([0, 500]))
    assert noisy.dtype == np.float32
    np.testing.assert_allclose(noisy, alpha**0.5 * clean + (1 - alpha) ** 0.5 * noise, rtol=1e-6)
    np.testing.assert_array_equal(scheduler.add_noise(clean, noise, 500)[1], noisy[1])
    for timestep in (-1, 1000, 1.5):
        with pytest.raises(InvalidInputError, match="timestep="):
            scheduler.add_noise(clean, noise, timestep)  # type: ignore[arg-type]


@pytest.mark.parametrize("cls", [DDIMScheduler, DDPMScheduler])
def test_betas_without_terminal_signal(cls: Any) -> None:
    scheduler = cls(rescale_betas_zero_snr=True, prediction_type="v_prediction")
    plain = cls(prediction_type="v_prediction")
    assert scheduler.alphas_cumprod[-1] == 0
    assert scheduler.alphas_cumprod[0] == pytest.approx(plain.alphas_cumprod[0], abs=1e-7)
    trailing = cls.from_config(scheduler.config, timestep_spacing="trailing")
    schedule = trailing.schedule(10)
    assert schedule.noising[0].tolist() == [0, 1]
    assert np.isfinite(np.delete(schedule.rows, ROW_FIELDS.index("x0_clip"), axis=1)).all()
    epsilon = cls.from_config(trailing.config, prediction_type="epsilon")
    with pytest.raises(ConfigError, match="'epsilon' cannot start from pure noise"):
        epsilon.schedule(10)
    assert len(cls.from_config(epsilon.config, timestep_spacing="leading").schedule(10)) == 10
