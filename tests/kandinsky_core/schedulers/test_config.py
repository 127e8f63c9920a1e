"""Configs of schedulers: in and out of files, from class to class, and what they refuse."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kandinsky_core.errors import CheckpointError, ConfigError
from kandinsky_core.schedulers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    LCMScheduler,
    PNDMScheduler,
    Scheduler,
    UnCLIPScheduler,
    UniPCMultistepScheduler,
    scheduler_from_config,
)
from kandinsky_core.schedulers.config import SchedulerConfig
from tests.kandinsky_core.schedulers.test_published import ALL, DDIM_2_1, DDPM_2_2

SOLVERS: list[dict[str, Any]] = [
    {"_class_name": "DPMSolverMultistepScheduler", "use_karras_sigmas": True, "solver_order": 1},
    {"_class_name": "EulerAncestralDiscreteScheduler", "steps_offset": 1},
    {"_class_name": "EulerDiscreteScheduler", "sigma_max": 10.0},
]
CLASSES: list[type[Scheduler]] = [
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    UnCLIPScheduler,
]


def public(config: SchedulerConfig) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key != "_use_default_values"}


def test_eta_goes_where_the_config_goes(tmp_path: Path) -> None:
    assert "eta" not in DDIMScheduler().config
    scheduler = DDIMScheduler.from_config(DDPMScheduler.from_config(DDPM_2_2).config, eta=0.5)
    assert scheduler.config.eta == 0.5
    scheduler.save_pretrained(tmp_path)
    assert DDIMScheduler.from_pretrained(tmp_path) == scheduler
    ddpm = DDPMScheduler.from_config(scheduler.config)
    assert DDIMScheduler.from_config(ddpm.config) == scheduler


@pytest.mark.parametrize("config", ALL + SOLVERS)
def test_config_reads_as_attribute_item_and_mapping(config: dict[str, Any]) -> None:
    view = scheduler_from_config(config).config
    for name in config.keys() - {"_diffusers_version"}:
        assert view[name] == getattr(view, name) == config[name]
    assert dict(**view) == dict(view)
    assert "no_such_field" not in view
    with pytest.raises(AttributeError, match="no_such_field"):
        _ = view.no_such_field
    with pytest.raises(TypeError):
        view["beta_start"] = 3  # type: ignore[index]


@pytest.mark.parametrize("config", ALL + SOLVERS)
def test_saved_config_reads_back(config: dict[str, Any], tmp_path: Path) -> None:
    scheduler = scheduler_from_config(config)
    scheduler.save_pretrained(tmp_path / "scheduler")
    saved = json.loads((tmp_path / "scheduler" / "scheduler_config.json").read_text())
    assert scheduler_from_config(saved) == scheduler
    again = type(scheduler).from_pretrained(tmp_path, subfolder="scheduler")
    assert again == scheduler
    assert public(again.config) == public(scheduler.config)


def test_trained_betas_survive_saving(tmp_path: Path) -> None:
    scheduler = DDIMScheduler(3, trained_betas=[0.25, 0.5, 0.75])
    scheduler.save_pretrained(tmp_path)
    again = DDIMScheduler.from_pretrained(tmp_path)
    assert again == scheduler
    np.testing.assert_array_equal(again.alphas_cumprod, np.float32([0.75, 0.375, 0.09375]))


def test_switching_class_keeps_what_the_first_did_not_know() -> None:
    ddpm = DDPMScheduler.from_config(DDPM_2_2 | {"variance_type": "fixed_small"})
    ddim = DDIMScheduler.from_config(ddpm.config, clip_sample=False)
    assert ddim == scheduler_from_config(DDIM_2_1)
    assert ddim.config.variance_type == "fixed_small"
    assert DDPMScheduler.from_config(ddim.config, clip_sample=True) == ddpm


def test_switching_class_takes_its_defaults_for_what_nobody_gave() -> None:
    solver = DPMSolverMultistepScheduler
    published = DDPMScheduler.from_config(DDPM_2_2)
    assert published.timestep_spacing == "leading"
    assert solver.from_config(published.config).timestep_spacing == "linspace"
    for given in (
        DDPMScheduler(timestep_spacing="leading"),
        DDPMScheduler.from_config(DDPM_2_2, timestep_spacing="leading"),
        copy.deepcopy(DDPMScheduler(timestep_spacing="leading")),
        DDPMScheduler(
            1000,
            1e-4,
            0.02,
            "linear",
            None,
            "fixed_small",
            True,
            "epsilon",
            False,
            0.9,
            1,
            1,
            "leading",
        ),
    ):
        assert solver.from_config(given.config).timestep_spacing == "leading"
    # what the network was trained with stays, though UnCLIP has it by default
    assert solver.from_config(UnCLIPScheduler().config).beta_schedule == "squaredcos_cap_v2"


@pytest.mark.parametrize("cls", CLASSES)
def test_unknown_field_is_named(cls: type[Scheduler]) -> None:
    with pytest.raises(ConfigError, match="beta_begin"):
        cls.from_config({"beta_begin": 0.1})
    with pytest.raises(ConfigError, match="shift_terminal"):
        cls.from_config({}, shift_terminal=0.1)
    assert cls.from_config({"shift_terminal": 0.1, "_private": 1}) == cls()


@pytest.mark.parametrize(
    ("cls", "fields"),
    [
        (DDPMScheduler, {"variance_type": "learned"}),
        (DDPMScheduler, {"variance_type": "fixed_large_log"}),
        (DDPMScheduler, {"thresholding": "yes"}),
        (DDPMScheduler, {"beta_schedule": "sigmoid"}),
        (DDIMScheduler, {"prediction_type": "flow"}),
        (DDIMScheduler, {"timestep_spacing": "karras"}),
        (DDIMScheduler, {"rescale_betas_zero_snr": 2}),
        (DPMSolverMultistepScheduler, {"solver_order": 4}),
        (DPMSolverMultistepScheduler, {"algorithm_type": "dpmsolver"}),
        (DPMSolverMultistepScheduler, {"use_flow_sigmas": True}),
        (DPMSolverMultistepScheduler, {"use_beta_sigmas": True}),
        (DPMSolverMultistepScheduler, {"lambda_min_clipped": -5.1}),
        (EulerDiscreteScheduler, {"timestep_type": "continuous"}),
        (EulerDiscreteScheduler, {"interpolation_type": "log_linear"}),
        (EulerDiscreteScheduler, {"use_beta_sigmas": True}),
        (UniPCMultistepScheduler, {"solver_p": "DDIMScheduler"}),
        (UniPCMultistepScheduler, {"disable_corrector": [-1]}),
        (UniPCMultistepScheduler, {"sigma_max": 0.0}),
        (LCMScheduler, {"original_inference_steps": 0}),
        (PNDMScheduler, {"prediction_type": "sample"}),
        (EulerDiscreteScheduler, {"sigma_min": -1.0}),
        (EulerAncestralDiscreteScheduler, {"prediction_type": "sample"}),
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
    with pytest.raises(ConfigError, match=r"EDMEuler.*told timesteps.*DDIMSch.*UnCLIPScheduler"):
        scheduler_from_config({"_class_name": "EDMEulerScheduler"})
    with pytest.raises(ConfigError, match=r"'NoScheduler' is not supported, allowed: 'DDIM"):
        scheduler_from_config({"_class_name": "NoScheduler"})
    with pytest.raises(ConfigError, match="_class_name=None"):
        scheduler_from_config({})


def test_reason_is_given() -> None:
    with pytest.raises(ConfigError, match=r"'learned_range' .* \(no prior predicts a variance\)"):
        UnCLIPScheduler(variance_type="learned_range")


def test_missing_or_broken_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no .*scheduler_config\.json"):
        DDIMScheduler.from_pretrained(tmp_path)
    (tmp_path / "scheduler_config.json").write_text("{")
    with pytest.raises(CheckpointError, match="not JSON"):
        DDIMScheduler.from_pretrained(tmp_path)


def test_config_view_can_be_copied() -> None:
    view = SchedulerConfig({"a": 1})
    assert copy.deepcopy(view) == view
