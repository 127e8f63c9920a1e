"""Whatever a scheduler's config holds, it is refused, or each of its schedules is finite."""

from __future__ import annotations

import json
import math
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kandinsky_core.errors import ConfigError, InvalidInputError
from kandinsky_core.schedulers import (
    ROW_FIELDS,
    DDIMScheduler,
    DDPMScheduler,
    DEISMultistepScheduler,
    DPMSolverMultistepScheduler,
    DPMSolverSinglestepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
    Kandinsky3FlashScheduler,
    Kandinsky3Scheduler,
    KDPM2AncestralDiscreteScheduler,
    KDPM2DiscreteScheduler,
    LCMScheduler,
    LMSDiscreteScheduler,
    PNDMScheduler,
    Scheduler,
    UnCLIPScheduler,
    UniPCMultistepScheduler,
    scheduler_from_config,
)
from tests.kandinsky_core.schedulers.test_published import DDIM_2_1, DDPM_2_2, UNCLIP
from tests.support.wrong_values import WRONG_VALUES

# Forms of schedules that reach another branch of the arithmetic; a class takes those that it has.
FORMS: tuple[dict[str, Any], ...] = (
    {},
    {"use_karras_sigmas": True},
    {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True},
    {"timestep_spacing": "trailing", "prediction_type": "sample"},
    {"beta_schedule": "scaled_linear", "timestep_spacing": "linspace"},
    {"thresholding": True, "variance_type": "learned_range"},
    {"algorithm_type": "sde-dpmsolver++", "solver_type": "heun"},
    {"use_exponential_sigmas": True, "solver_order": 3, "predict_x0": False},
)
CLASSES: tuple[tuple[type[Scheduler], dict[str, Any]], ...] = (
    (DDIMScheduler, DDIM_2_1),
    (DDPMScheduler, DDPM_2_2),
    (UnCLIPScheduler, UNCLIP),
    (DPMSolverMultistepScheduler, {}),
    (EulerAncestralDiscreteScheduler, {}),
    (EulerDiscreteScheduler, {}),
    (Kandinsky3Scheduler, {}),
    (Kandinsky3FlashScheduler, {}),
)
MORE_CLASSES: tuple[type[Scheduler], ...] = (
    DEISMultistepScheduler,
    DPMSolverSinglestepScheduler,
    HeunDiscreteScheduler,
    KDPM2AncestralDiscreteScheduler,
    KDPM2DiscreteScheduler,
    LCMScheduler,
    LMSDiscreteScheduler,
    PNDMScheduler,
    UniPCMultistepScheduler,
)


def check(config: dict[str, Any], steps: int) -> None:
    """Build a scheduler and a schedule of few steps; both may refuse, and neither may fail."""
    try:
        schedule = scheduler_from_config(config).schedule(steps)
    except (ConfigError, InvalidInputError):
        return
    clip = ROW_FIELDS.index("x0_clip")
    assert np.isfinite(np.delete(schedule.rows, clip, axis=1)).all(), config
    assert (schedule.rows[:, clip] > 0).all()
    assert np.isfinite(schedule.timesteps).all()
    assert (schedule.timesteps >= 0).all()
    assert np.isfinite(schedule.noising).all()
    assert math.isfinite(schedule.init_noise_sigma)


@pytest.mark.parametrize(("cls", "published"), CLASSES)
def test_every_field_with_every_value(cls: type[Scheduler], published: dict[str, Any]) -> None:
    every_field_with_every_value(cls, published)


@pytest.mark.slow(seconds=10)
@pytest.mark.parametrize("cls", MORE_CLASSES)
def test_every_field_of_more_classes(cls: type[Scheduler]) -> None:
    every_field_with_every_value(cls, {})


def every_field_with_every_value(cls: type[Scheduler], published: dict[str, Any]) -> None:
    own = {entry.name for entry in fields(cls)} - {"carried"}
    forms = [form for form in FORMS if set(form) <= own]
    names = own | set(published) | {"_class_name", "_use_default_values"}
    for name in sorted(names):
        for value in WRONG_VALUES:
            for form in forms:
                config = {**published, "_class_name": cls.__name__, **form, name: value}
                check(config, 4 if cls is Kandinsky3FlashScheduler else 5)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("clip_sample_range", "1"),
        ("clip_sample_range", -1.0),
        ("trained_betas", "abc"),
        ("trained_betas", 3),
        ("timestep_spacing", ["leading"]),
        ("num_train_timesteps", 1e9),
        ("num_train_timesteps", 10**9),
        ("num_train_timesteps", True),
        ("beta_start", None),
        ("beta_end", math.nan),
        ("steps_offset", -1),
        ("set_alpha_to_one", "yes"),
        ("thresholding", 1),
        ("_use_default_values", 3),
    ],
)
def test_a_wrong_type_or_size_is_named(field: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=field):
        scheduler_from_config({**DDIM_2_1, field: value})


@pytest.mark.parametrize("betas", [{"beta_start": 1e-30}, {"beta_end": 1e-9}])
def test_betas_that_are_nothing_in_float32_are_refused(betas: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="a timestep with no noise of its own in float32"):
        scheduler_from_config({**DDPM_2_2, **betas})


def test_betas_that_leave_no_signal_are_refused_by_the_schedule() -> None:
    scheduler = scheduler_from_config({**DDPM_2_2, "beta_end": 0.99})
    with pytest.raises(ConfigError, match="a timestep with no signal in float32"):
        scheduler.schedule(5)


def test_numbers_of_numpy_are_numbers() -> None:
    scheduler = DDIMScheduler(
        num_train_timesteps=3, trained_betas=np.float64([0.25, 0.5, 0.75]), eta=np.float32(0.5)
    )
    assert scheduler == DDIMScheduler(3, trained_betas=[0.25, 0.5, 0.75], eta=0.5)


def test_infinity_that_diffusers_writes_is_read(tmp_path: Path) -> None:
    DPMSolverMultistepScheduler().save_pretrained(tmp_path)
    file = tmp_path / "scheduler_config.json"
    assert "-Infinity" in file.read_text()
    DPMSolverMultistepScheduler.from_pretrained(tmp_path)
    file.write_text(json.dumps({"beta_start": math.inf}))
    with pytest.raises(ConfigError, match="beta_start=inf"):
        DDIMScheduler.from_pretrained(tmp_path)
