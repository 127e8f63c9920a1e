"""DPM-Solver++ and Euler by what their papers say, and schedulers by name; no framework needed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kandinsky_core.arrays import FloatArray
from kandinsky_core.errors import ConfigError, InvalidInputError
from kandinsky_core.schedulers import (
    ROW_FIELDS,
    SCHEDULER_NAMES,
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    Schedule,
    scheduler_by_name,
    scheduler_from_config,
    step,
)
from tests.kandinsky_core.schedulers.test_published import DDPM_2_2, column

BETAS = {"beta_start": 0.00085, "beta_end": 0.012}
SDE = {"algorithm_type": "sde-dpmsolver++"}
EULERS = [EulerDiscreteScheduler, EulerAncestralDiscreteScheduler]
SHAPE = (200, 50)


def loop(schedule: Schedule, network: Any, seed: int = 0) -> FloatArray:
    """Denoise from pure noise; the network gets the scaled sample and its noise over signal."""
    rng = np.random.default_rng(seed)
    sample = rng.standard_normal(SHAPE, dtype=np.float32) * np.float32(schedule.init_noise_sigma)
    clean = None
    levels = schedule.noising[:, 1] / schedule.noising[:, 0]
    for row, sigma, draws in zip(schedule.rows, levels, schedule.draws, strict=True):
        scaled = row[ROW_FIELDS.index("input_scale")] * sample
        drawn = rng.standard_normal(SHAPE, dtype=np.float32) if draws else None
        sample, clean = step(row, sample, network(scaled, sigma), clean, drawn)
    return sample


def gaussian(deviation: float) -> Any:
    """The best predictor of the noise where clean samples are N(0, deviation^2)."""

    def network(scaled: FloatArray, sigma: float) -> FloatArray:
        signal = 1 / np.sqrt(sigma**2 + 1)
        noise = sigma * signal
        predicted: FloatArray = scaled * noise / (signal**2 * deviation**2 + noise**2)
        return predicted

    return network


def error(name: str, steps: int) -> float:
    """How far the deviation of denoised samples is off where it should be 0.5."""
    scheduler = scheduler_by_name(name, {**BETAS, "clip_sample": False})
    result = loop(scheduler.schedule(steps), gaussian(0.5))
    assert abs(result.mean()) < 0.02
    return abs(float(result.std()) / 0.5 - 1)


# LCM is for networks that were distilled for it: the best predictor is none.
@pytest.mark.parametrize("name", [name for name in SCHEDULER_NAMES if name != "lcm"])
def test_gaussian_data_come_out_as_gaussian(name: str) -> None:
    """A scheduler is right if the exact network gives the exact distribution in the limit."""
    assert error(name, 500) < 0.015  # with 10000 numbers: two standard errors


def test_dpm_solver_needs_fewer_steps() -> None:
    slowest = min(error(name, 20) for name in ("ddim", "ddpm", "euler", "euler-ancestral"))
    assert error("dpm++-karras", 20) < 0.02 < error("dpm++", 20) < slowest
    assert error("dpm++-sde", 20) < slowest


@pytest.mark.parametrize("solver_type", ["midpoint", "heun"])
def test_second_order_is_more_exact_than_first(solver_type: str) -> None:
    def error_of(order: int, steps: int) -> float:
        scheduler = DPMSolverMultistepScheduler(
            **BETAS,
            solver_order=order,
            solver_type=solver_type,
            use_karras_sigmas=True,
            final_sigmas_type="sigma_min",
        )
        schedule = scheduler.schedule(steps)
        rows = schedule.rows.astype(np.float64)
        sample, clean = np.ones((1, 1)), None
        levels = (schedule.noising[:, 1] / schedule.noising[:, 0]).astype(np.float64)
        for row, sigma in zip(rows, levels, strict=True):
            sample, clean = step(row, sample, gaussian(0.5)(sample, sigma), clean, None)
        # the exact flow scales a sample by the deviation of its distribution
        first, last = (1 + (0.25 - 1) / (1 + levels[[0, -1]] ** 2)) ** 0.5
        return abs(float(sample[0, 0]) / (last / first) - 1)

    assert error_of(2, 40) < error_of(1, 40) / 5
    assert error_of(2, 40) < error_of(2, 20) / 3  # the order shows: halving the step quarters it
    assert error_of(1, 40) > error_of(1, 20) / 3


def test_first_order_is_ddim() -> None:
    """Lu et al. 2022, section 4: DPM-Solver++ of first order equals DDIM."""
    fields: dict[str, Any] = {"timestep_spacing": "trailing", **BETAS}
    ddim = DDIMScheduler(clip_sample=False, **fields).schedule(25)
    solver = DPMSolverMultistepScheduler(solver_order=1, **fields).schedule(25)
    np.testing.assert_array_equal(ddim.timesteps, solver.timesteps)
    np.testing.assert_allclose(
        loop(ddim, gaussian(0.7)), loop(solver, gaussian(0.7)), rtol=2e-5, atol=2e-5
    )


def test_orders_of_the_steps() -> None:
    def second(start: int = 0, steps: int = 20, **fields: Any) -> list[int]:
        schedule = DPMSolverMultistepScheduler(**fields).schedule(steps, start)
        assert len(schedule) == steps - start
        return np.flatnonzero(column(schedule, "mean_from_previous_x0")).tolist()

    assert second() == list(range(1, 19))
    assert second(solver_order=1) == []
    assert second(start=12) == list(range(1, 7))
    assert second(start=19) == []
    assert second(final_sigmas_type="sigma_min") == list(range(1, 20))
    assert second(final_sigmas_type="sigma_min", euler_at_final=True) == list(range(1, 19))
    assert second(final_sigmas_type="sigma_min", steps=14) == list(range(1, 13))
    assert second(final_sigmas_type="sigma_min", steps=14, lower_order_final=False)[-1] == 13


@pytest.mark.parametrize("fields", [{}, SDE, {"use_karras_sigmas": True}])
def test_last_step_of_dpm_solver_gives_the_clean_sample(fields: dict[str, Any]) -> None:
    schedule = DPMSolverMultistepScheduler(**fields).schedule(12)
    last = dict(zip(ROW_FIELDS, schedule.rows[-1].tolist(), strict=True))
    assert (last["mean_from_x0"], last["mean_from_sample"], last["noise_scale"]) == (1, 0, 0)
    assert schedule.draws.all() == bool(schedule.draws.any()) == (fields == SDE)


def test_published_sigmas() -> None:
    """Stable Diffusion's scaled linear betas span 0.0292 to 14.6146, as k-diffusion knows them."""
    fields: dict[str, Any] = BETAS | {"beta_schedule": "scaled_linear"}
    for spacing in ("linspace", "trailing"):
        schedule = EulerDiscreteScheduler(timestep_spacing=spacing, **fields).schedule(30)
        assert schedule.init_noise_sigma == pytest.approx(14.6146, rel=1e-5)
    karras = EulerDiscreteScheduler(use_karras_sigmas=True, **fields).schedule(10)
    # Karras et al. with rho 7 between these two, 10 steps
    ramp = np.linspace(14.6146 ** (1 / 7), 0.0292 ** (1 / 7), 10) ** 7
    np.testing.assert_allclose(karras.noising[:, 1], ramp, rtol=2e-3)
    assert karras.timesteps.dtype == np.float32
    assert karras.timesteps[[0, -1]].tolist() == [999, 0]


@pytest.mark.parametrize("cls", EULERS)
def test_euler_scales_what_the_network_gets(cls: Any) -> None:
    schedule = cls().schedule(7, start=2)
    signal, sigma = schedule.noising.T
    np.testing.assert_array_equal(signal, 1)
    np.testing.assert_allclose(column(schedule, "input_scale"), (sigma**2 + 1) ** -0.5, rtol=1e-6)
    np.testing.assert_array_equal(schedule.timesteps, np.linspace(999, 0, 7, dtype=np.float32)[2:])
    largest = cls().schedule(7).noising[0, 1]
    assert schedule.init_noise_sigma == largest
    leading = cls(timestep_spacing="leading").schedule(7)
    assert leading.init_noise_sigma == pytest.approx((leading.noising[0, 1] ** 2 + 1) ** 0.5)


def test_ancestral_noise_fills_up_the_variance() -> None:
    schedule = EulerAncestralDiscreteScheduler().schedule(9)
    assert schedule.draws.all()
    sigma = schedule.noising[:, 1]
    down = column(schedule, "mean_from_sample") * sigma
    total = down**2 + column(schedule, "noise_scale") ** 2
    np.testing.assert_allclose(total, np.append(sigma[1:], 0) ** 2, rtol=1e-5)


@pytest.mark.parametrize("cls", EULERS)
def test_euler_adds_noise_between_timesteps(cls: Any) -> None:
    scheduler = cls()
    one, nothing = np.ones((1, 1), np.float32), np.zeros((1, 1), np.float32)
    below, between, above = (scheduler.add_noise(nothing, one, t).item() for t in (500, 500.5, 501))
    assert below < between < above
    assert scheduler.add_noise(3 * one, nothing, 999) == 3
    for timestep in (-0.5, 999.5, np.nan):
        with pytest.raises(InvalidInputError, match="give numbers from 0 to 999"):
            scheduler.add_noise(one, one, timestep)


@pytest.mark.parametrize("fields", [{"timestep_spacing": "leading"}, {}])
def test_too_many_steps_for_a_solver(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError, match=r"=1000: .* timestep is visited twice"):
        DPMSolverMultistepScheduler(**fields).schedule(1000)
    assert len(DPMSolverMultistepScheduler(use_karras_sigmas=True).schedule(1000)) == 1000


@pytest.mark.parametrize("cls", [DPMSolverMultistepScheduler, *EULERS])
def test_noise_above_that_of_the_last_timestep(cls: Any) -> None:
    """2**-24 stands for no signal at timestep 999; timestep 998 can have less."""
    scheduler = cls(
        rescale_betas_zero_snr=True, timestep_spacing="trailing", prediction_type="v_prediction"
    )
    assert scheduler.alphas_cumprod[998] < scheduler.alphas_cumprod[999] == 2**-24
    assert len(scheduler.schedule(50)) == 50
    with pytest.raises(InvalidInputError, match="does not fall at each step"):
        scheduler.schedule(500)


@pytest.mark.parametrize("name", SCHEDULER_NAMES)
def test_scheduler_by_name(name: str) -> None:
    published = scheduler_from_config(DDPM_2_2).config
    scheduler = scheduler_by_name(name, published)
    assert scheduler == scheduler_by_name(name.upper(), published)
    assert (scheduler.config.beta_start, scheduler.config.steps_offset) == (0.00085, 1)
    config = scheduler.config
    assert config.get("use_karras_sigmas", False) == ("karras" in name)
    assert ("sde" in config.get("algorithm_type", "")) == ("sde" in name)
    # and back, with nothing lost
    assert scheduler_by_name("ddpm", config) == scheduler_from_config(DDPM_2_2)


def test_unknown_names() -> None:
    with pytest.raises(InvalidInputError, match=r"'tcd': give one of ddim, ddpm, dpm\+\+, "):
        scheduler_by_name("tcd", DDPM_2_2)
    with pytest.raises(ConfigError, match=r"TCD.*DPMSolverMultistepScheduler.*EulerDiscrete"):
        scheduler_from_config({"_class_name": "TCDScheduler"})
