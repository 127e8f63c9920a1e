"""Schedules against the fact sheet's figures (diffusers 0.39 run on the published configs)."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kandinsky_core.errors import CheckpointError, ConfigError, InvalidInputError
from kandinsky_core.schedulers import (
    ROW_FIELDS,
    DDIMScheduler,
    DDPMScheduler,
    Schedule,
    Scheduler,
    UnCLIPScheduler,
    scheduler_from_config,
)
from kandinsky_core.schedulers.config import SchedulerConfig

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
CLASSES: list[type[Scheduler]] = [DDIMScheduler, DDPMScheduler, UnCLIPScheduler]


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
    expected = [0, 1, 10, from_x0, from_sample, 0, noise, 0]
    np.testing.assert_allclose(row, expected, rtol=0, atol=6e-7)


def test_unclip_single_step_goes_straight_to_x0() -> None:
    schedule = scheduler_from_config(UNCLIP).schedule(1)
    assert schedule.timesteps.tolist() == [999]
    assert schedule.draws.tolist() == [False]
    np.testing.assert_array_equal(schedule.rows[0], np.float32([0, 1, 10, 1, 0, 0, 0, 0]))


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
    scheduler = DDIMScheduler()
    assert not scheduler.schedule(4).draws.any()
    assert scheduler.schedule(4, eta=0.3).draws.all()
    scales = column(scheduler.schedule(4, eta=1.0), "noise_scale")
    np.testing.assert_allclose(
        scales, column(DDPMScheduler().schedule(4), "noise_scale"), rtol=2e-6
    )
    with pytest.raises(InvalidInputError, match=r"eta=1\.5"):
        scheduler.schedule(4, eta=1.5)


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


@pytest.mark.parametrize("config", ALL)
def test_config_reads_as_attribute_item_and_mapping(config: dict[str, Any]) -> None:
    view = scheduler_from_config(config).config
    for name in config.keys() - {"_diffusers_version"}:
        assert view[name] == getattr(view, name) == config[name]
    assert dict(**view) == dict(view)
    assert "no_such_field" not in view
    with pytest.raises(AttributeError, match="no_such_field"):
        _ = view.no_such_field
    with pytest.raises(TypeError):
        view["clip_sample"] = 3  # type: ignore[index]


@pytest.mark.parametrize("config", ALL)
def test_saved_config_reads_back(config: dict[str, Any], tmp_path: Path) -> None:
    scheduler = scheduler_from_config(config)
    scheduler.save_pretrained(tmp_path / "scheduler")
    saved = json.loads((tmp_path / "scheduler" / "scheduler_config.json").read_text())
    assert scheduler_from_config(saved) == scheduler
    again = type(scheduler).from_pretrained(tmp_path, subfolder="scheduler")
    assert again == scheduler
    assert dict(again.config) == dict(scheduler.config)


def test_trained_betas_survive_saving(tmp_path: Path) -> None:
    scheduler = DDIMScheduler(3, trained_betas=[0.25, 0.5, 0.75])
    scheduler.save_pretrained(tmp_path)
    again = DDIMScheduler.from_pretrained(tmp_path)
    assert again == scheduler
    np.testing.assert_array_equal(again.alphas_cumprod, np.float32([0.75, 0.375, 0.09375]))


def test_switching_class_keeps_what_the_first_did_not_know() -> None:
    ddpm = DDPMScheduler.from_config(DDPM_2_2)
    ddim = DDIMScheduler.from_config(ddpm.config, clip_sample=False)
    assert ddim == scheduler_from_config(DDIM_2_1)
    assert ddim.config.variance_type == "fixed_small"
    assert DDPMScheduler.from_config(ddim.config, clip_sample=True) == ddpm


@pytest.mark.parametrize("cls", CLASSES)
def test_unknown_field_is_named(cls: type[Scheduler]) -> None:
    with pytest.raises(ConfigError, match="beta_begin"):
        cls.from_config({"beta_begin": 0.1})
    with pytest.raises(ConfigError, match="use_karras_sigmas"):
        cls.from_config({}, use_karras_sigmas=True)
    assert cls.from_config({"use_karras_sigmas": True, "_private": 1}) == cls()


@pytest.mark.parametrize(
    ("cls", "fields"),
    [
        (DDPMScheduler, {"variance_type": "learned_range"}),
        (DDPMScheduler, {"variance_type": "fixed_large_log"}),
        (DDPMScheduler, {"thresholding": True}),
        (DDPMScheduler, {"beta_schedule": "sigmoid"}),
        (DDIMScheduler, {"prediction_type": "flow"}),
        (DDIMScheduler, {"timestep_spacing": "karras"}),
        (DDIMScheduler, {"rescale_betas_zero_snr": True}),
        (UnCLIPScheduler, {"prediction_type": "v_prediction"}),
        (UnCLIPScheduler, {"beta_schedule": "linear"}),
        (UnCLIPScheduler, {"variance_type": "learned_range"}),
        (UnCLIPScheduler, {"num_train_timesteps": "1000"}),
        (DDIMScheduler, {"num_train_timesteps": 0}),
        (DDIMScheduler, {"trained_betas": [0.1, 0.2]}),
    ],
)
def test_unsupported_value_is_named(cls: type[Scheduler], fields: dict[str, Any]) -> None:
    (name,) = fields
    with pytest.raises(ConfigError, match=name):
        cls(**fields)


def test_unknown_class_lists_the_supported_ones() -> None:
    with pytest.raises(ConfigError, match=r"PNDMScheduler.*DDIMScheduler.*UnCLIPScheduler"):
        scheduler_from_config({"_class_name": "PNDMScheduler"})
    with pytest.raises(ConfigError, match="_class_name=None"):
        scheduler_from_config({})


def test_missing_or_broken_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no .*scheduler_config\.json"):
        DDIMScheduler.from_pretrained(tmp_path)
    (tmp_path / "scheduler_config.json").write_text("{")
    with pytest.raises(CheckpointError, match="not JSON"):
        DDIMScheduler.from_pretrained(tmp_path)


def test_config_view_can_be_copied() -> None:
    view = SchedulerConfig({"a": 1})
    assert copy.deepcopy(view) == view
