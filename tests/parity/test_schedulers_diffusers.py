"""Schedulers against diffusers: tables, whole trajectories on equal noise, draw counts, configs."""

from __future__ import annotations

import inspect
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kandinsky_core import schedulers as ours
from kandinsky_core.arrays import FloatArray
from kandinsky_core.schedulers import Schedule, Scheduler, step
from tests.support.tolerances import allowed

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")

# PyTorch's float32 square root is off by one in the last place for a fifth of all values where the
# CPU has AVX-512; NumPy's is exact.
TOLERANCE = allowed("schedule")

SHAPE = (2, 4, 6, 6)
DECODER = {"beta_start": 0.00085, "beta_end": 0.012, "steps_offset": 1}
# A second scheduler of the 2.1 decoder, as diffusers' pull request 3783 proposed it.
LEARNED = {
    "clip_sample_range": 2.0,
    "sample_max_value": None,
    "thresholding": True,
    "variance_type": "learned_range",
    "steps_offset": 1,
}
PUBLISHED: dict[str, tuple[str, dict[str, Any]]] = {
    "2.1 decoder": ("DDIMScheduler", DECODER | {"clip_sample": False, "set_alpha_to_one": False}),
    "2.2 decoder": ("DDPMScheduler", DECODER),
    "2.2 inpaint": ("DDPMScheduler", DECODER | {"clip_sample": False}),
    "prior": ("UnCLIPScheduler", {"prediction_type": "sample", "clip_sample_range": 10.0}),
}
OTHERS: list[tuple[str, dict[str, Any]]] = [
    (name, {"prediction_type": prediction, "timestep_spacing": spacing, "beta_schedule": betas})
    for name in ("DDIMScheduler", "DDPMScheduler")
    for prediction, spacing, betas in [
        ("epsilon", "leading", "linear"),
        ("epsilon", "trailing", "scaled_linear"),
        ("sample", "linspace", "linear"),
        ("sample", "trailing", "squaredcos_cap_v2"),
        ("v_prediction", "linspace", "scaled_linear"),
        ("v_prediction", "trailing", "linear"),
    ]
] + [
    ("DDPMScheduler", {"variance_type": "fixed_large"}),
    ("DDPMScheduler", {"variance_type": "fixed_small_log", "clip_sample_range": 2.0}),
    ("DDPMScheduler", {"variance_type": "learned_range"}),
    ("DDPMScheduler", LEARNED),
    ("DDPMScheduler", LEARNED | {"sample_max_value": 1.5, "dynamic_thresholding_ratio": 0.7}),
    ("DDIMScheduler", {"thresholding": True, "sample_max_value": 3.0}),
    ("DDIMScheduler", {"thresholding": True}),
    ("DDIMScheduler", {"set_alpha_to_one": False, "clip_sample_range": 3.0}),
    ("UnCLIPScheduler", {}),
]
NAMES = ("DDIMScheduler", "DDPMScheduler", "UnCLIPScheduler")
SOLVERS = (
    "DPMSolverMultistepScheduler",
    "EulerAncestralDiscreteScheduler",
    "EulerDiscreteScheduler",
)

REMEMBERING = (
    "DEISMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "HeunDiscreteScheduler",
    "KDPM2AncestralDiscreteScheduler",
    "KDPM2DiscreteScheduler",
    "LCMScheduler",
    "LMSDiscreteScheduler",
    "PNDMScheduler",
    "UniPCMultistepScheduler",
)


def pair(name: str, fields: dict[str, Any]) -> tuple[Any, Any]:
    theirs = {key: value for key, value in fields.items() if key != "eta"}
    return getattr(ours, name)(**fields), getattr(diffusers, name)(**theirs)


def their_trajectory(
    scheduler: Any, steps: int, start: int, eta: float, sample: FloatArray, outputs: FloatArray
) -> tuple[list[FloatArray], list[FloatArray], list[bool]]:
    """Run diffusers with noise of seed 0; return samples, clean samples, and who drew."""
    scheduler.set_timesteps(steps)
    timesteps = scheduler.timesteps[start:]
    generator = torch.Generator().manual_seed(0)
    x, samples, cleans, draws = torch.from_numpy(sample), [], [], []
    for index, timestep in enumerate(timesteps):
        extra: dict[str, Any] = {}
        if isinstance(scheduler, diffusers.UnCLIPScheduler):
            last = index + 1 == len(timesteps)
            extra["prev_timestep"] = None if last else timesteps[index + 1]
        if isinstance(scheduler, diffusers.DDIMScheduler):
            extra["eta"] = eta
        before = generator.get_state()
        output = torch.from_numpy(outputs[index])
        done = scheduler.step(output, timestep, x, generator=generator, **extra)
        x = done.prev_sample
        samples.append(x.numpy())
        cleans.append(done.pred_original_sample.numpy())
        draws.append(not torch.equal(before, generator.get_state()))
    return samples, cleans, draws


def our_trajectory(
    schedule: Schedule, sample: FloatArray, outputs: FloatArray
) -> tuple[list[FloatArray], list[FloatArray]]:
    generator = torch.Generator().manual_seed(0)
    x, clean, samples, cleans = sample, None, [], []
    for index, row in enumerate(schedule.rows):
        drawn = torch.randn(SHAPE, generator=generator).numpy() if schedule.draws[index] else None
        output, variance = outputs[index][:, :4], None
        if schedule.rule.learned_variance:
            variance = outputs[index][:, 4:]
        x, clean = step(
            row,
            x,
            output,
            clean,
            drawn,
            variance=variance,
            threshold=schedule.rule.threshold,
            sort=np.sort,
        )
        samples.append(x)
        cleans.append(clean)
    return samples, cleans


def compare(
    name: str,
    fields: dict[str, Any],
    steps: int,
    start: int = 0,
    tolerance: float = TOLERANCE,
) -> None:
    mine, theirs = pair(name, fields)
    rng = np.random.default_rng(steps)
    sample = rng.standard_normal(SHAPE, dtype=np.float32)
    learned = fields.get("variance_type") == "learned_range"
    shape = (steps - start, SHAPE[0], 8 if learned else 4, *SHAPE[2:])
    outputs = rng.standard_normal(shape, dtype=np.float32)
    schedule = mine.schedule(steps, start)
    eta = fields.get("eta", 0.0)
    samples, cleans, draws = their_trajectory(theirs, steps, start, eta, sample, outputs)
    assert schedule.timesteps.tolist() == theirs.timesteps[start:].tolist()
    assert schedule.draws.tolist() == draws
    our_samples, our_cleans = our_trajectory(schedule, sample, outputs)
    # random outputs let unclipped samples grow: measure against the largest value of each step
    before = [sample, *samples[:-1]]
    for index, row in enumerate(schedule.rows):
        scale = max(1.0, largest(samples[index]))
        assert largest(our_samples[index] - samples[index]) <= tolerance * scale
        # the clean sample is a difference of two large terms
        scale = abs(row[0]) * largest(before[index]) + abs(row[1]) * largest(outputs[index])
        assert largest(our_cleans[index] - cleans[index]) <= tolerance * max(1.0, scale)


def largest(values: FloatArray) -> float:
    return float(np.abs(values).max())


@pytest.mark.parametrize("steps", [2, 7, 25, 50, 100])
@pytest.mark.parametrize("which", PUBLISHED)
def test_published_trajectories(which: str, steps: int) -> None:
    compare(*PUBLISHED[which], steps)


@pytest.mark.parametrize("which", ["2.1 decoder", "2.2 decoder", "2.2 inpaint"])
def test_published_single_step(which: str) -> None:
    compare(*PUBLISHED[which], steps=1)


@pytest.mark.parametrize("which", PUBLISHED)
def test_published_trajectories_from_the_middle(which: str) -> None:
    compare(*PUBLISHED[which], steps=20, start=13)


@pytest.mark.parametrize("steps", [1, 7, 50])
@pytest.mark.parametrize(("name", "fields"), OTHERS)
def test_other_settings(name: str, fields: dict[str, Any], steps: int) -> None:
    if name == "UnCLIPScheduler" and steps == 1:
        steps = 2  # one step divides by zero in diffusers
    compare(name, fields, steps)


@pytest.mark.parametrize("name", NAMES)
def test_every_training_timestep(name: str) -> None:
    compare(name, {}, steps=1000, tolerance=allowed("schedule of 1000"))


@pytest.mark.parametrize("eta", [0.05, 1.0])
@pytest.mark.parametrize("prediction", ["epsilon", "sample", "v_prediction"])
def test_ddim_with_noise(prediction: str, eta: float) -> None:
    compare("DDIMScheduler", {"prediction_type": prediction, "eta": eta}, steps=25)


@pytest.mark.parametrize("spacing", ["leading", "linspace", "trailing"])
@pytest.mark.parametrize("name", ["DDIMScheduler", "DDPMScheduler"])
def test_no_terminal_signal(name: str, spacing: str) -> None:
    fields = {"rescale_betas_zero_snr": True, "timestep_spacing": spacing}
    for prediction in ("v_prediction", "sample"):
        # Here the tables too come from float32 square roots.
        changed = fields | {"prediction_type": prediction}
        compare(name, changed, steps=25, tolerance=allowed("rescaled schedule"))
    mine, theirs = pair(name, fields)
    np.testing.assert_allclose(mine.betas, theirs.betas.numpy(), rtol=0, atol=allowed("betas"))
    alphas = theirs.alphas_cumprod.numpy()
    atol = allowed("alphas")
    np.testing.assert_allclose(mine.alphas_cumprod, alphas, rtol=0, atol=atol)
    assert mine.alphas_cumprod[-1] == theirs.alphas_cumprod[-1] == 0


@pytest.mark.parametrize("betas", ["linear", "scaled_linear", "squaredcos_cap_v2"])
@pytest.mark.parametrize("count", [1000, 37, 1])
def test_tables_are_equal_to_the_bit(betas: str, count: int) -> None:
    fields = {"beta_schedule": betas, "num_train_timesteps": count}
    mine, theirs = pair("DDPMScheduler", fields)
    np.testing.assert_array_equal(mine.betas, theirs.betas.numpy())
    np.testing.assert_array_equal(mine.alphas_cumprod, theirs.alphas_cumprod.numpy())


def test_trained_betas() -> None:
    fields = {"trained_betas": [0.1, 0.2, 0.5], "num_train_timesteps": 3}
    mine, theirs = pair("DDIMScheduler", fields)
    np.testing.assert_array_equal(mine.alphas_cumprod, theirs.alphas_cumprod.numpy())


@pytest.mark.parametrize("spacing", ["leading", "linspace", "trailing"])
def test_timesteps_for_every_step_count(spacing: str) -> None:
    mine, theirs = pair("DDPMScheduler", {"timestep_spacing": spacing})
    for steps in range(1, 1001):
        theirs.set_timesteps(steps)
        expected = theirs.timesteps[theirs.timesteps >= 0].tolist()  # without the stray -1
        assert mine.schedule(steps).timesteps.tolist() == expected


def test_unclip_timesteps_for_every_step_count() -> None:
    mine, theirs = pair("UnCLIPScheduler", {})
    for steps in range(2, 1001):
        theirs.set_timesteps(steps)
        assert mine.schedule(steps).timesteps.tolist() == theirs.timesteps.tolist()


@pytest.mark.parametrize("name", NAMES + SOLVERS)
def test_add_noise(name: str) -> None:
    mine, theirs = pair(name, {})
    theirs.set_timesteps(999 if name == "DPMSolverMultistepScheduler" else 1000)
    rng = np.random.default_rng(0)
    original, noise = rng.standard_normal((2, 3, *SHAPE[1:]), dtype=np.float32)
    timesteps = np.array([1, 417, 999])
    expected = theirs.add_noise(*(torch.from_numpy(a) for a in (original, noise, timesteps)))
    got = mine.add_noise(original, noise, timesteps)
    assert got.dtype == np.float32
    rtol, atol = allowed("noised"), allowed("noised near zero")
    np.testing.assert_allclose(got, expected.numpy(), rtol=rtol, atol=atol)


@pytest.mark.parametrize("name", NAMES + SOLVERS + REMEMBERING)
def test_arguments_and_defaults(name: str) -> None:
    mine = inspect.signature(getattr(ours, name)).parameters
    theirs = inspect.signature(getattr(diffusers, name)).parameters
    own = {key: value.default for key, value in mine.items() if value.kind != value.KEYWORD_ONLY}
    if "disable_corrector" in own:
        assert own["disable_corrector"] == ()  # what is immutable has no list
        own["disable_corrector"] = []
    assert list(own.items()) == [(key, value.default) for key, value in theirs.items()]
    more = {key for key, value in mine.items() if value.kind == value.KEYWORD_ONLY}
    assert more == ({"carried", "eta"} if name == "DDIMScheduler" else {"carried"})


def public(config: Any) -> dict[str, Any]:
    return {key: value for key, value in config.items() if not key.startswith("_")}


@pytest.mark.parametrize(
    ("name", "fields"), [*PUBLISHED.values(), *((name, DECODER) for name in SOLVERS)]
)
def test_configs_pass_both_ways(name: str, fields: dict[str, Any], tmp_path: Path) -> None:
    mine, theirs = pair(name, fields)
    theirs.save_pretrained(tmp_path / "theirs")
    mine.save_pretrained(tmp_path / "mine")
    assert type(mine).from_pretrained(tmp_path / "theirs") == mine
    assert type(mine).from_config(theirs.config) == mine
    for read in (
        type(theirs).from_pretrained(tmp_path / "mine"),
        type(theirs).from_config(dict(mine.config)),
    ):
        assert {key: read.config[key] for key in public(mine.config)} == public(mine.config)


def test_eta_does_not_trouble_diffusers(tmp_path: Path) -> None:
    ours.DDIMScheduler(eta=0.5, steps_offset=1).save_pretrained(tmp_path)
    assert diffusers.DDIMScheduler.from_pretrained(tmp_path).config.steps_offset == 1


CLASSES = ("DDIMScheduler", "DDPMScheduler", *SOLVERS)


@pytest.mark.parametrize("second", CLASSES)
@pytest.mark.parametrize("first", CLASSES)
@pytest.mark.parametrize("spacing", [None, "trailing"])
def test_switching_the_class_as_diffusers_does(
    first: str, second: str, spacing: str | None
) -> None:
    """What nobody gave gives way to the second class's default; what was given goes along."""
    published = DECODER | {"clip_sample": False, "set_alpha_to_one": False, "thresholding": False}
    if spacing is not None:
        published = published | {"timestep_spacing": spacing}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = getattr(diffusers, first).from_config(published)
        theirs = getattr(diffusers, second).from_config(before.config)
        back = getattr(diffusers, first).from_config(theirs.config)
    my_before: Scheduler = getattr(ours, first).from_config(published)
    mine: Scheduler = getattr(ours, second).from_config(my_before.config)
    assert public(mine.config) == public(theirs.config)
    assert public(getattr(ours, first).from_config(mine.config).config) == public(back.config)
    assert getattr(ours, second).from_config(before.config) == mine


@pytest.mark.parametrize("second", REMEMBERING)
def test_switching_to_a_class_that_remembers(second: str, tmp_path: Path) -> None:
    """From a published decoder's config, and from another solver's own words for its kind."""
    trained = DECODER | {
        "beta_schedule": "linear"
    }  # these pass along here even if nobody gave them
    config = dict(diffusers.DDPMScheduler(**trained).config)
    solver = dict(diffusers.DPMSolverMultistepScheduler(**trained, solver_type="heun").config)
    for before in (config, solver):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = getattr(diffusers, second).from_config(before)
        mine: Scheduler = getattr(ours, second).from_config(before)
        shown, expected = public(mine.config), public(theirs.config)
        assert list(shown.pop("disable_corrector", [])) == expected.pop("disable_corrector", [])
        assert shown == expected
        theirs.save_pretrained(tmp_path)
        assert type(mine).from_pretrained(tmp_path) == mine
        mine.save_pretrained(tmp_path)
        assert public(type(theirs).from_pretrained(tmp_path).config).items() >= shown.items()
