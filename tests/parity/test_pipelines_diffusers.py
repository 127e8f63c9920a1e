"""Whole pipelines against PyTorch diffusers: the same integer seed gives the same picture.

The embedded model, and small random weights of an awkward shape (see `tiny`), saved by diffusers
itself and loaded here. Random weights run with a guidance of 1.5: with 4 the reference itself
turns a change of its inputs by 1e-6 into one of 2e-4 after nine steps, so nothing could be said.
"""

from __future__ import annotations

import inspect
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("jax")

import diffusers
import torch

import kandinsky_core as kandinsky
from kandinsky_core.checkpoints.hub import EMBEDDED
from tests.parity import tiny
from tests.parity.any_scheduler import reference_scheduler, scaled_input
from tests.support.tolerances import allowed

PICTURE_TOLERANCE = allowed("picture")
EMBEDDING_TOLERANCE = allowed("embeddings")
LATENT_TOLERANCE = allowed("latents")
RANDOM = {"guidance_scale": 1.5}
PROMPTS = ("a large red circle on a blue background", "two stars", "white")


@pytest.fixture(scope="module")
def folders(random_root: Path) -> dict[str, Path]:
    return {"random": random_root, "shapes": EMBEDDED["shapes"]}


def reference(root: Path) -> Any:
    """The combined pipeline of diffusers."""
    prior = diffusers.KandinskyV22PriorPipeline.from_pretrained(root / "prior")
    decoder = diffusers.KandinskyV22Pipeline.from_pretrained(root / "decoder")
    prior.to(dtype=torch.float32)
    decoder.to(dtype=torch.float32)
    components = {f"prior_{name}": value for name, value in prior.components.items()}
    pipe = diffusers.KandinskyV22CombinedPipeline(**decoder.components, **components)
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture(scope="module")
def pairs(folders: dict[str, Path], backend_of: Callable[[str], Any]) -> dict[str, tuple[Any, Any]]:
    """The reference and ours, for random weights and for `shapes`."""
    loaded = {}
    for name, folder in folders.items():
        ours = kandinsky.AutoPipelineForText2Image.from_pretrained(
            folder, backend=backend_of("jax")
        )
        ours.set_progress_bar_config(disable=True)
        loaded[name] = (reference(folder), ours)
    return loaded


CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "shapes": ("shapes", {"prompt": PROMPTS[0], "height": 64, "width": 64}),
    "batch of 3": ("random", RANDOM | {"prompt": list(PROMPTS), "height": 24, "width": 40}),
    "negative, 2 each": (
        "random",
        RANDOM
        | {
            "prompt": list(PROMPTS[:2]),
            "negative_prompt": ["low quality", "red"],
            "num_images_per_prompt": 2,
            "height": 13,
            "width": 30,
        },
    ),
    "guidance off": (
        "random",
        {"prompt": PROMPTS[2], "guidance_scale": 1.0, "prior_guidance_scale": 1.0},
    ),
    "prior guidance off": ("random", RANDOM | {"prompt": PROMPTS[2], "prior_guidance_scale": 1}),
}


SLOW = ("guidance off", "prior guidance off")


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=[pytest.mark.slow] * (case in SLOW)) for case in CASES]
)
def test_same_seed_same_picture(pairs: dict[str, tuple[Any, Any]], case: str) -> None:
    model, request = CASES[case]
    theirs, ours = pairs[model]
    request = {"height": 32, "width": 32, "num_inference_steps": 4, "output_type": "np"} | request
    request |= {"prior_num_inference_steps": 3}
    expected = theirs(**request, generator=torch.Generator().manual_seed(43)).images
    got = ours(**request, generator=43).images
    cut = expected[:, : request["height"], : request["width"]]
    assert got.shape == cut.shape
    difference = np.abs(got - cut).max()
    print(f"{case}: max abs {difference:.1e}")  # noqa: T201 - shown by pytest -rP
    assert difference <= PICTURE_TOLERANCE
    assert cut.std() > 0.01, "a flat picture proves nothing"


@pytest.mark.slow
def test_full_length_run_of_shapes(pairs: dict[str, tuple[Any, Any]]) -> None:
    """All defaults: 25 steps of the prior, 100 of the decoder."""
    theirs, ours = pairs["shapes"]
    generator = torch.Generator().manual_seed(0)
    expected = theirs(PROMPTS[0], height=64, width=64, generator=generator, output_type="np").images
    got = ours(PROMPTS[0], seed=0, output_type="np").images
    assert np.abs(got - expected).max() <= PICTURE_TOLERANCE


def test_embeddings_and_latents_of_the_halves(pairs: dict[str, tuple[Any, Any]]) -> None:
    theirs, ours = pairs["random"]
    seed = {"generator": torch.Generator().manual_seed(5)}
    want = theirs.prior_pipe(
        list(PROMPTS), negative_prompt=["x"] * 3, num_inference_steps=7, **seed
    )
    generator = kandinsky.Generator(5)
    have = ours.prior_pipe(
        list(PROMPTS), negative_prompt="x", num_inference_steps=7, generator=generator
    )
    for name in have.keys():  # noqa: SIM118
        assert tiny.relative_error(have[name], want[name]) < EMBEDDING_TOLERANCE, name
    sizes = {"height": 24, "width": 40, "num_inference_steps": 9, "output_type": "latent"} | RANDOM
    want_latents = theirs.decoder_pipe(**want, **sizes, **seed).images
    have_latents = ours.decoder_pipe(**have, **sizes, generator=generator).images
    assert tiny.relative_error(have_latents, want_latents) < LATENT_TOLERANCE


def test_one_generator_for_each_picture(pairs: dict[str, tuple[Any, Any]]) -> None:
    theirs, ours = pairs["random"]
    request: dict[str, Any] = RANDOM | {
        "prompt": PROMPTS[1],
        "num_images_per_prompt": 3,
        "height": 24,
        "width": 40,
        "num_inference_steps": 3,
        "prior_num_inference_steps": 3,
        "output_type": "np",
    }
    seeds = [1, 22, 333]
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    expected = theirs(**request, generator=generators).images
    assert np.abs(ours(**request, generator=seeds).images - expected).max() <= PICTURE_TOLERANCE


@pytest.mark.parametrize("scheduler", ["DDIMScheduler", "DDPMScheduler"])
def test_swapped_scheduler(pairs: dict[str, tuple[Any, Any]], scheduler: str) -> None:
    swap_scheduler(pairs, scheduler)


@pytest.mark.slow
@pytest.mark.parametrize(
    "scheduler",
    [
        "KDPM2AncestralDiscreteScheduler",
        "LMSDiscreteScheduler",
        "PNDMScheduler",
        "UniPCMultistepScheduler",
    ],
)
def test_swapped_scheduler_that_remembers(
    pairs: dict[str, tuple[Any, Any]], scheduler: str
) -> None:
    """Of several numbers of registers, and ways to use them."""
    swap_scheduler(pairs, scheduler)


def swap_scheduler(pairs: dict[str, tuple[Any, Any]], scheduler: str) -> None:
    theirs, ours = (pair.decoder_pipe for pair in pairs["random"])
    embeds = np.random.default_rng(0).standard_normal((2, 1, 24), np.float32)
    wanted = {"clip_sample": False, "timestep_spacing": "trailing"}
    known = inspect.signature(getattr(diffusers, scheduler)).parameters
    settings = {name: wanted[name] for name in wanted if name in known}
    before = theirs.scheduler, ours.scheduler
    reference = reference_scheduler(scheduler)
    theirs.scheduler = reference.from_config(theirs.scheduler.config, **settings)
    ours.scheduler = getattr(kandinsky, scheduler).from_config(ours.scheduler.config, **settings)
    request: dict[str, Any] = RANDOM | {"height": 32, "width": 32, "num_inference_steps": 6}
    with scaled_input(theirs):
        expected = theirs(
            *torch.from_numpy(embeds),
            **request,
            generator=torch.Generator().manual_seed(8),
            output_type="latent",
        ).images
    got = ours(*embeds, **request, seed=8, output_type="latent").images
    theirs.scheduler, ours.scheduler = before
    assert tiny.relative_error(got, expected) < LATENT_TOLERANCE


def test_interpolation_of_texts(pairs: dict[str, tuple[Any, Any]]) -> None:
    theirs, ours = (pair.prior_pipe for pair in pairs["random"])
    items: Sequence[str] = ("a cat", "starry night", "red")
    arguments = (list(items), [0.3, 0.3, 0.4])
    for options in ({}, {"negative_prior_prompt": "x"}, {"negative_prompt": "y"}):
        want = theirs.interpolate(
            *arguments, **options, num_inference_steps=3, generator=torch.Generator().manual_seed(2)
        )
        have = ours.interpolate(*arguments, **options, num_inference_steps=3, generator=2)
        for name in have.keys():  # noqa: SIM118
            assert tiny.relative_error(have[name], want[name]) < EMBEDDING_TOLERANCE, (
                name,
                options,
            )


@pytest.mark.slow
def test_bfloat16_stays_close_to_float32(folders: dict[str, Path]) -> None:
    """Measured: 55 dB on `shapes`; the README states it."""
    pictures = []
    for dtype in ("float32", "bfloat16"):
        pipe = kandinsky.AutoPipelineForText2Image.from_pretrained("shapes", dtype=dtype)
        pipe.set_progress_bar_config(disable=True)
        assert (pipe.dtype, pipe.movq.dtype) == (dtype, "float32")
        pictures.append(pipe(PROMPTS[0], seed=1, num_inference_steps=20, output_type="np").images)
    error = float(np.mean((pictures[0] - pictures[1]) ** 2))
    print(f"PSNR {-10 * np.log10(error):.1f} dB")  # noqa: T201
    assert -10 * np.log10(error) >= 45


def test_a_decoder_finds_its_prior_by_its_readme(folders: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(folders["random"] / "decoder", tmp_path / "halves" / "second")
    shutil.copytree(folders["random"] / "prior", tmp_path / "halves" / "first")
    decoder = tmp_path / "halves" / "second"
    with pytest.raises(kandinsky.KandinskyError, match="names no prior"):
        kandinsky.AutoPipelineForText2Image.from_pretrained(decoder)
    (decoder / "README.md").write_text("---\nprior:\n- ../first\n---\n", encoding="utf-8")
    kandinsky.AutoPipelineForText2Image.from_pretrained(decoder)
    (decoder / "README.md").unlink()
    pipe = kandinsky.AutoPipelineForText2Image.from_pretrained(
        decoder, prior=tmp_path / "halves" / "first"
    )
    index = json.loads((decoder / "model_index.json").read_text(encoding="utf-8"))
    assert index["_class_name"] == "KandinskyV22Pipeline"
    assert type(pipe).__name__ == "KandinskyV22CombinedPipeline"
