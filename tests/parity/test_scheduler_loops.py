"""Loops written by hand, as diffusers' documents write them, with both libraries' schedulers.

Every scheduler that both have takes the same torch tensors and a torch generator in the same state.
"""

from __future__ import annotations

import copy
import inspect
import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kandinsky_core import Generator
from kandinsky_core import schedulers as ours
from kandinsky_core.arrays import FloatArray
from kandinsky_core.errors import ConfigError, InvalidInputError
from tests.support.tolerances import allowed

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")

NOISED, NEAR_ZERO = allowed("noised"), allowed("noised near zero")
SHAPE = (2, 4, 6, 6)
DECODER = {"beta_start": 0.00085, "beta_end": 0.012}
SPACING = {"timestep_spacing": ("leading", "linspace", "trailing"), "steps_offset": (0, 1)}
FORMULA = {
    "": ({}, {}, {"use_karras_sigmas": True}, {"use_exponential_sigmas": True}),
}
ANY = ("epsilon", "v_prediction", "sample")
TWO = ("epsilon", "v_prediction")
BOTH = (False, True)
COMMON: dict[str, tuple[Any, ...]] = {
    "beta_schedule": ("linear", "scaled_linear"),
    "prediction_type": ANY,
}
SIGMAS = COMMON | SPACING | FORMULA
DPM = SIGMAS | {
    "solver_order": (1, 2, 3),
    "solver_type": ("midpoint", "heun"),
    "final_sigmas_type": ("zero", "sigma_min"),
    "lower_order_final": BOTH,
    "thresholding": (False, False, True),
    "algorithm_type": ("dpmsolver++", "dpmsolver++", "sde-dpmsolver++"),
}
CHOICES: dict[str, dict[str, tuple[Any, ...]]] = {
    "DDIMScheduler": COMMON | SPACING | {"clip_sample": BOTH, "set_alpha_to_one": BOTH},
    "DDPMScheduler": COMMON | SPACING | {"clip_sample": BOTH, "thresholding": BOTH},
    "DEISMultistepScheduler": SIGMAS
    | {"solver_order": (1, 2, 3), "lower_order_final": BOTH, "thresholding": (False, True)},
    "DPMSolverMultistepScheduler": DPM
    | {"": (*FORMULA[""], {"use_lu_lambdas": True}), "euler_at_final": BOTH},
    "DPMSolverSinglestepScheduler": {name: DPM[name] for name in DPM if name not in SPACING},
    "EulerAncestralDiscreteScheduler": COMMON | SPACING | {"prediction_type": TWO},
    "EulerDiscreteScheduler": SIGMAS,
    "HeunDiscreteScheduler": SIGMAS | {"clip_sample": BOTH},
    "KDPM2AncestralDiscreteScheduler": SIGMAS | {"prediction_type": TWO},
    "KDPM2DiscreteScheduler": SIGMAS | {"prediction_type": TWO},
    "LCMScheduler": COMMON | {"original_inference_steps": (50, 100), "thresholding": BOTH},
    "LMSDiscreteScheduler": SIGMAS,
    "PNDMScheduler": COMMON
    | SPACING
    | {"prediction_type": TWO, "skip_prk_steps": BOTH, "set_alpha_to_one": BOTH},
    "UnCLIPScheduler": {"prediction_type": ("epsilon", "sample"), "clip_sample_range": (1.0, 5.0)},
    "UniPCMultistepScheduler": SIGMAS
    | {
        "solver_order": (1, 2, 3),
        "solver_type": ("bh1", "bh2"),
        "predict_x0": (True, True, False),
        "lower_order_final": (True, True, False),
        "final_sigmas_type": ("zero", "sigma_min"),
        "disable_corrector": ([], [0], [2, 3]),
        "thresholding": (False, True),
    },
}
# In diffusers their first steps there use outputs that do not exist.
NOT_FROM_THE_MIDDLE = {"LMSDiscreteScheduler", "PNDMScheduler"}
IN_ANY_ORDER = {"DDIMScheduler", "DDPMScheduler", "UnCLIPScheduler"}


def network(scaled: Any, timestep: Any) -> Any:
    """Mix channels and neighbours of what the network is given; bounded, so that loops stay so."""
    x = scaled.double()
    mixed = 0.7 * torch.roll(x, 1, 1) - 0.3 * x + 0.2 * torch.roll(x, 1, 3)
    return (1.2 * torch.tanh(mixed + np.sin(0.01 * float(timestep)))).float()


def loop(scheduler: Any, sample: Any, timesteps: Any, generator: Any) -> list[FloatArray]:
    """Denoise as the documents of diffusers do; one code for both libraries."""
    takes = inspect.signature(scheduler.step).parameters
    samples = []
    for index, timestep in enumerate(timesteps):
        extra = {"generator": generator} if "generator" in takes else {}
        if "prev_timestep" in takes:
            extra["prev_timestep"] = timesteps[index + 1] if index + 1 < len(timesteps) else None
        output = network(scheduler.scale_model_input(sample, timestep), timestep)
        sample = scheduler.step(output, timestep, sample, **extra).prev_sample
        assert isinstance(sample, torch.Tensor)
        samples.append(sample.numpy())
    return samples


def in_float64(scheduler: Any) -> None:
    """Let diffusers compute its coefficients in float64, as ours are before they are rounded."""
    for name in ("sigmas", "sigmas_interpol", "sigmas_up", "sigmas_down", "alphas_cumprod"):
        table = getattr(scheduler, name, None)
        if isinstance(table, torch.Tensor):
            setattr(scheduler, name, table.double())


def compare(name: str, fields: dict[str, Any], steps: int, middle: bool = False) -> None:
    mine, theirs = getattr(ours, name)(**fields), getattr(diffusers, name)(**fields)
    mine.set_timesteps(steps)
    theirs.set_timesteps(steps)
    if hasattr(theirs, "sigmas"):
        np.testing.assert_allclose(mine.sigmas, theirs.sigmas.numpy(), rtol=allowed("sigmas"))
    if name not in IN_ANY_ORDER:
        in_float64(theirs)
    times = np.asarray(mine.timesteps, float)
    atol = allowed("solvers' timesteps")
    np.testing.assert_allclose(times, theirs.timesteps.double().numpy(), rtol=0, atol=atol)
    assert mine.order == getattr(theirs, "order", 1)
    first = 0
    if middle:
        first = mine.order * (steps // 2)
        if name not in IN_ANY_ORDER:
            mine.set_begin_index(first)
            theirs.set_begin_index(first)
    seed = torch.Generator().manual_seed(steps)
    sample = torch.randn(SHAPE, generator=seed) * float(theirs.init_noise_sigma)
    assert mine.init_noise_sigma == pytest.approx(
        float(theirs.init_noise_sigma), rel=allowed("solvers' first noise")
    )
    generators = [torch.Generator().manual_seed(3) for _ in range(2)]
    got = loop(mine, sample, mine.timesteps[first:], generators[0])
    expected = loop(theirs, sample, theirs.timesteps[first:], generators[1])
    assert torch.equal(generators[0].get_state(), generators[1].get_state())
    scale = float(sample.abs().max())
    for mine_now, theirs_now in zip(got, expected, strict=True):
        scale = max(scale, float(np.abs(theirs_now).max()))
        assert np.isfinite(mine_now).all()
        if np.isfinite(theirs_now).all():  # UniPC of noise has NaN there at a last sigma of 0
            assert np.abs(mine_now - theirs_now).max() <= allowed("loops by hand") * scale


def settings(name: str, seed: int) -> tuple[dict[str, Any], int]:
    if seed == 0:
        return {}, 6  # diffusers' own defaults
    chosen = random.Random(f"{name} {seed}")
    fields: dict[str, Any] = {} if name == "UnCLIPScheduler" else dict(DECODER)
    for field, values in CHOICES[name].items():
        value = chosen.choice(values)
        fields |= value if field == "" else {field: value}
    if fields.get("algorithm_type") == "sde-dpmsolver++":
        # A formula's last sigma is the smallest but for its last bit: noise of that bit's root.
        fields["final_sigmas_type"] = "zero"
    # Two steps down from a sigma of 14 leave few digits where slopes are differences.
    few = [] if getattr(ours, name).order == 2 else [2]
    return fields, chosen.choice([*few, 4, 5, 9, 14, 15, 20])


def compare_random(name: str, seed: int) -> None:
    fields, steps = settings(name, seed)
    third = fields.get("solver_order") == 3 and fields.get("algorithm_type") == "sde-dpmsolver++"
    if third and (name == "DPMSolverMultistepScheduler" or fields["solver_type"] == "heun"):
        with pytest.raises(ConfigError, match="diffusers has a wrong sign"):
            getattr(ours, name)(**fields)
    elif name == "PNDMScheduler" and steps < 4 and not fields["skip_prk_steps"]:
        with pytest.raises(InvalidInputError, match="take at least 4"):
            getattr(ours, name)(**fields).schedule(steps)
    else:
        compare(name, fields, steps, middle=seed % 3 == 2 and name not in NOT_FROM_THE_MIDDLE)


@pytest.mark.parametrize("seed", [0, 2])
@pytest.mark.parametrize("name", CHOICES)
def test_random_settings(name: str, seed: int) -> None:
    compare_random(name, seed)


@pytest.mark.slow(seconds=6)
@pytest.mark.parametrize("name", CHOICES)
def test_many_random_settings(name: str) -> None:
    for seed in range(3, 10):
        compare_random(name, seed)


def test_every_scheduler_of_diffusers_is_here_or_has_its_reason() -> None:
    source = Path(diffusers.schedulers.__file__).read_text("utf-8")
    named = set(re.findall(r'"(\w+Scheduler)"', source))
    here = {name for name in ours.__all__ if hasattr(diffusers, name)} - {"SchedulerOutput"}
    assert here == set(CHOICES)
    assert named - here == set(ours.REFUSED_SCHEDULERS)


def test_ddim_takes_eta_and_clipped_outputs() -> None:
    fields = DECODER | {"steps_offset": 1}
    mine, theirs = ours.DDIMScheduler(**fields), diffusers.DDIMScheduler(**fields)
    mine.set_timesteps(7)
    theirs.set_timesteps(7)
    sample, output = torch.randn((2, *SHAPE), generator=torch.Generator().manual_seed(0))
    for eta, clipped in ((0.0, True), (0.7, False), (1.0, True)):
        call = (output, theirs.timesteps[2], sample, eta, clipped)
        got = mine.step(*call, torch.Generator().manual_seed(1))
        expected = theirs.step(*call, torch.Generator().manual_seed(1))
        for part in ("prev_sample", "pred_original_sample"):
            np.testing.assert_allclose(
                got[part], expected[part], rtol=0, atol=allowed("loops by hand")
            )


def test_adding_noise_and_velocities() -> None:
    original, noise = torch.randn((2, 3, 4, 6, 6), generator=torch.Generator().manual_seed(0))
    for name, middle in [("HeunDiscreteScheduler", 4), ("UniPCMultistepScheduler", 3)]:
        mine, theirs = getattr(ours, name)(), getattr(diffusers, name)()
        for scheduler in (mine, theirs):
            scheduler.set_timesteps(8)
        times = theirs.timesteps[[middle, 0, 6]]
        for begun in (False, True):
            got = mine.add_noise(original, noise, times)
            expected = theirs.add_noise(original, noise, times)
            np.testing.assert_allclose(got, expected, rtol=NOISED, atol=NEAR_ZERO)
            if not begun:
                mine.set_begin_index(middle)
                theirs.set_begin_index(middle)
    mine, theirs = ours.DDPMScheduler(), diffusers.DDPMScheduler()
    times = torch.tensor([0, 417, 999])
    expected = theirs.get_velocity(original, noise, times)
    np.testing.assert_allclose(
        mine.get_velocity(original, noise, times), expected, rtol=NOISED, atol=2 * NEAR_ZERO
    )


def test_what_comes_in_goes_out() -> None:
    """NumPy in, NumPy out; half precision stays so; both generators draw the same noise."""
    scheduler = ours.DDPMScheduler()
    scheduler.set_timesteps(5, device=torch.device("cpu"))
    assert isinstance(scheduler.timesteps, torch.Tensor)
    scheduler.set_timesteps(5, device="cuda")
    assert isinstance(scheduler.timesteps, np.ndarray)
    sample, output = torch.randn((2, *SHAPE), generator=torch.Generator().manual_seed(0))
    time = scheduler.timesteps[0]
    tensors = scheduler.step(output, time, sample, torch.Generator().manual_seed(1)).prev_sample
    arrays = scheduler.step(output.numpy(), time, sample.numpy(), Generator(1)).prev_sample
    assert isinstance(arrays, np.ndarray)
    np.testing.assert_allclose(tensors, arrays, rtol=0, atol=allowed("randn"))
    half = scheduler.step(output.bfloat16(), time, sample.bfloat16(), Generator(1)).prev_sample
    assert half.dtype == torch.bfloat16
    rows = [Generator(1), Generator(2)]
    each = scheduler.step(output, time, sample, rows).prev_sample
    np.testing.assert_allclose(
        each[:1], scheduler.step(output[:1], time, sample[:1], Generator(1)).prev_sample
    )


def test_names_of_a_loop() -> None:
    mine, theirs = ours.EulerDiscreteScheduler(), diffusers.EulerDiscreteScheduler()
    for scheduler in (mine, theirs):
        scheduler.set_timesteps(6)
    other = copy.copy(mine)
    assert len(mine) == len(theirs) == 1000
    sample = torch.ones(SHAPE)
    for index, time in enumerate(theirs.timesteps[:3]):
        assert mine.index_for_timestep(time) == theirs.index_for_timestep(time) == index
        for scheduler in (mine, theirs):
            scheduler.step(scheduler.scale_model_input(sample, time), time, sample)
        assert mine.step_index == theirs.step_index == index + 1
    assert mine.begin_index == theirs.begin_index
    assert other.step_index is None, "a copy has its own loop"
    ddpm, reference = ours.DDPMScheduler(), diffusers.DDPMScheduler()
    assert ddpm.previous_timestep(500) == reference.previous_timestep(500)
    for scheduler in (ddpm, reference):
        scheduler.set_timesteps(10)
    assert [ddpm.previous_timestep(time) for time in ddpm.timesteps] == [
        int(reference.previous_timestep(time)) for time in reference.timesteps
    ]
    known = {cls.__name__ for cls in reference.compatibles}
    assert known - set(ours.REFUSED_SCHEDULERS) <= {cls.__name__ for cls in ddpm.compatibles}
    assert reference.has_compatibles == ddpm.has_compatibles
    assert reference.config_name == ddpm.config_name
