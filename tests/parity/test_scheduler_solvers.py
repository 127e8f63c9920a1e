"""DPM-Solver++ and Euler against diffusers: loops around a network that follows the sample."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kandinsky_core import schedulers as ours
from kandinsky_core.arrays import FloatArray
from kandinsky_core.schedulers import ROW_FIELDS, Schedule, step
from tests.support.tolerances import allowed

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")

# diffusers computes its coefficients in float32.
TOLERANCE = allowed("solvers")
NOISING = allowed("solvers' noise")
BETWEEN = allowed("solvers' timesteps")

SHAPE = (2, 4, 6, 6)
DECODER = {"beta_start": 0.00085, "beta_end": 0.012, "steps_offset": 1}
RESCALED = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
SDE = {"algorithm_type": "sde-dpmsolver++"}
DPM, EULER, ANCESTRAL = (
    "DPMSolverMultistepScheduler",
    "EulerDiscreteScheduler",
    "EulerAncestralDiscreteScheduler",
)
SPACINGS = [{"timestep_spacing": name} for name in ("leading", "linspace", "trailing")]
KARRAS = {"use_karras_sigmas": True}
V = {"prediction_type": "v_prediction"}
CASES: list[tuple[str, dict[str, Any]]] = [
    *((DPM, fields) for fields in SPACINGS),
    (DPM, {"solver_type": "heun"}),
    (DPM, {"solver_order": 1}),
    (DPM, {"prediction_type": "sample"}),
    (DPM, V),
    (DPM, KARRAS),
    (DPM, KARRAS | {"final_sigmas_type": "sigma_min"}),
    (DPM, KARRAS | {"beta_schedule": "squaredcos_cap_v2"}),
    (DPM, {"final_sigmas_type": "sigma_min"}),
    (DPM, {"final_sigmas_type": "sigma_min", "lower_order_final": False, "solver_type": "heun"}),
    (DPM, {"final_sigmas_type": "sigma_min", "euler_at_final": True}),
    (DPM, {"thresholding": True, "sample_max_value": 1.5}),
    (DPM, {"variance_type": "fixed_small", "beta_schedule": "scaled_linear"}),
    (DPM, SDE),
    (DPM, SDE | KARRAS),
    (DPM, SDE | {"solver_type": "heun", "final_sigmas_type": "sigma_min"}),
    (DPM, SDE | {"solver_order": 1, "prediction_type": "sample"}),
    (DPM, RESCALED | V),
    (DPM, RESCALED | V | KARRAS),
    *((EULER, fields) for fields in SPACINGS),
    *((EULER, fields | KARRAS) for fields in SPACINGS),
    (EULER, KARRAS | {"sigma_min": 0.1, "sigma_max": 10.0}),
    (EULER, {"prediction_type": "sample"}),
    (EULER, {"final_sigmas_type": "sigma_min"}),
    (EULER, V),
    (EULER, RESCALED | V),
    (EULER, RESCALED | V | KARRAS),
    *((ANCESTRAL, fields) for fields in SPACINGS),
    (ANCESTRAL, V),
    (ANCESTRAL, RESCALED | V),
]


def network(sample: FloatArray, timestep: float) -> FloatArray:
    """Mix channels and neighbours of what the network is given; bounded, so that loops stay so."""
    mixed = 0.7 * np.roll(sample, 1, axis=1) - 0.3 * sample + 0.2 * np.roll(sample, 1, axis=3)
    output: FloatArray = (1.2 * np.tanh(mixed + np.sin(0.01 * timestep))).astype(np.float32)
    return output


def their_samples(scheduler: Any, start: int, sample: FloatArray) -> list[FloatArray]:
    generator = torch.Generator().manual_seed(1)
    x, samples = torch.from_numpy(sample), []
    scheduler.set_begin_index(start)
    for timestep in scheduler.timesteps[start:]:
        given = scheduler.scale_model_input(x, timestep).numpy()
        output = torch.from_numpy(network(given, float(timestep)))
        x = scheduler.step(output, timestep, x, generator=generator).prev_sample
        samples.append(x.numpy())
    samples.append(torch.randn(3, generator=generator).numpy())  # where the stream stands
    return samples


def our_samples(schedule: Schedule, sample: FloatArray) -> list[FloatArray]:
    generator = torch.Generator().manual_seed(1)
    samples, clean, scale = [], None, ROW_FIELDS.index("input_scale")
    for row, timestep, draws in zip(schedule.rows, schedule.timesteps, schedule.draws, strict=True):
        output = network(row[scale] * sample, float(timestep))
        drawn = torch.randn(SHAPE, generator=generator).numpy() if draws else None
        threshold = schedule.rule.threshold
        sample, clean = step(row, sample, output, clean, drawn, threshold=threshold, sort=np.sort)
        samples.append(sample)
    samples.append(torch.randn(3, generator=generator).numpy())
    return samples


def check_noising(schedule: Schedule, theirs: Any, steps: int, start: int) -> None:
    """A sample of each timestep is noised as `add_noise` does, which inpainting relies on."""
    rng = np.random.default_rng(5)
    original, noise = rng.standard_normal((2, *SHAPE), dtype=np.float32)
    for index in range(start, steps):
        theirs.set_begin_index(index)
        timestep = theirs.timesteps[index : index + 1]
        expected = theirs.add_noise(
            torch.from_numpy(original), torch.from_numpy(noise), timestep
        ).numpy()
        signal, deviation = schedule.noising[index - start]
        got = signal * original + deviation * noise
        assert np.abs(got - expected).max() <= NOISING * np.abs(expected).max()
        if index == start:
            np.testing.assert_array_equal(schedule.noised(original, noise), got)


@pytest.mark.parametrize(
    ("steps", "start"), [(1, 0), (2, 0), (5, 0), (10, 4), (14, 0), (15, 0), (50, 30), (100, 0)]
)
@pytest.mark.parametrize(("name", "fields"), CASES)
def test_loops(name: str, fields: dict[str, Any], steps: int, start: int) -> None:
    fields = DECODER | fields
    schedule: Schedule = getattr(ours, name)(**fields).schedule(steps, start)
    theirs = getattr(diffusers, name)(**fields)
    theirs.set_timesteps(steps)
    timesteps = theirs.timesteps[start:].numpy()
    exact = timesteps.dtype == np.int64 or not fields.get("use_karras_sigmas")
    assert schedule.timesteps.dtype == timesteps.dtype
    np.testing.assert_allclose(schedule.timesteps, timesteps, rtol=0, atol=0 if exact else BETWEEN)
    first = float(theirs.init_noise_sigma)
    assert schedule.init_noise_sigma == pytest.approx(first, rel=allowed("solvers' first noise"))
    check_noising(schedule, theirs, steps, start)

    theirs.set_timesteps(steps)
    rng = np.random.default_rng(steps)
    sample = rng.standard_normal(SHAPE, dtype=np.float32) * np.float32(schedule.init_noise_sigma)
    scale = float(np.abs(sample).max())
    for got, expected in zip(
        our_samples(schedule, sample), their_samples(theirs, start, sample), strict=True
    ):
        scale = max(scale, float(np.abs(expected).max()))
        assert np.abs(got - expected).max() <= TOLERANCE * scale


@pytest.mark.parametrize("steps", [3, 20, 333])
@pytest.mark.parametrize("fields", [*SPACINGS, KARRAS])
def test_timesteps_of_dpm_solver(fields: dict[str, Any], steps: int) -> None:
    theirs = getattr(diffusers, DPM)(**DECODER, **fields)
    theirs.set_timesteps(steps)
    mine = ours.DPMSolverMultistepScheduler(**DECODER, **fields).schedule(steps)
    np.testing.assert_array_equal(mine.timesteps, theirs.timesteps.numpy())
