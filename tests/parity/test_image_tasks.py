"""The decoders that take pictures against PyTorch diffusers: the same seed, the same pixels.

Random weights with a guidance of 1.5, for the reason that `test_pipelines_diffusers` gives, and the
embedded model with all else at its defaults. Where the reference errs it is put right here: image
to image takes height for width there, and no Kandinsky pipeline scales its input for Euler.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")

import kandinsky_core as kandinsky  # noqa: E402
from kandinsky_core.checkpoints.hub import EMBEDDED  # noqa: E402
from tests.parity import tiny  # noqa: E402
from tests.parity.any_scheduler import reference_scheduler, scaled_input  # noqa: E402
from tests.support.backends import BACKENDS, all_on_jax, needs, on_jax  # noqa: E402
from tests.support.tolerances import allowed  # noqa: E402

PICTURE_TOLERANCE = allowed("picture")
IMG2IMG = "KandinskyV22Img2ImgPipeline"
INPAINT = "KandinskyV22InpaintPipeline"
CONTROLNET = "KandinskyV22ControlnetPipeline"
HINTED = "KandinskyV22ControlnetImg2ImgPipeline"
HALVES = {IMG2IMG: "decoder", INPAINT: "inpaint", CONTROLNET: "controlnet", HINTED: "controlnet"}
WIDTHS = {"random": tiny.CLIP_TEXT["projection_dim"], "shapes": 96}


@pytest.fixture(scope="module", params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def load(backend: str, random_root: Path, backend_of: Callable[[str], Any]) -> Any:
    """Load the reference and ours, once each."""
    roots = {"random": random_root, "shapes": EMBEDDED["shapes"]}
    loaded: dict[tuple[str, str], tuple[Any, Any]] = {}

    def pair(task: str, model: str) -> tuple[Any, Any]:
        if (task, model) not in loaded:
            theirs = getattr(diffusers, task).from_pretrained(roots[model] / HALVES[task])
            theirs.to(dtype=torch.float32)
            ours = getattr(kandinsky, task).from_pretrained(
                roots[model], backend=backend_of(backend)
            )
            for pipe in (theirs, ours):
                pipe.set_progress_bar_config(disable=True)
            loaded[task, model] = theirs, ours
        return loaded[task, model]

    return pair


def picture(width: int, height: int, seed: int = 0) -> Image.Image:
    """Soft colours, of which a resized copy keeps something."""
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)


def half_mask(width: int, height: int) -> Image.Image:
    """White on the right, with an uneven border."""
    mask = np.zeros((height, width), np.uint8)
    mask[:, width // 2 :] = 255
    mask[: height // 3, width // 3 :] = 255
    return Image.fromarray(mask)


def depth(height: int, width: int, count: int = 1) -> Any:
    """A hint [count, 3, height, width] of PyTorch, the published form."""
    maps = [np.asarray(picture(width, height, seed).convert("L")) for seed in range(count)]
    return torch.from_numpy(np.stack(maps)).float()[:, None].repeat(1, 3, 1, 1) / 255


def pixels_of(*pictures: Image.Image) -> Any:
    """Pictures as a batch of PyTorch, [N, 3, H, W] in [-1, 1]."""
    arrays = np.stack([np.asarray(picture) for picture in pictures])
    return torch.from_numpy(arrays).permute(0, 3, 1, 2).float() / 127.5 - 1


def compare(load: Any, task: str, model: str, embeddings: int, request: dict[str, Any]) -> None:
    """Draw with both, with the same seed."""
    theirs, ours = load(task, model)
    rng = np.random.default_rng(len(request))
    embeds, negative = rng.standard_normal((2, embeddings, WIDTHS[model]), np.float32)
    options = {"num_inference_steps": 8, "output_type": "np"} | request
    given = dict(options)
    if task in (IMG2IMG, HINTED):  # bug 5: there (height, width) means (width, height)
        given |= {"height": options["width"], "width": options["height"]}
    expected = theirs(
        image_embeds=torch.from_numpy(embeds),
        negative_image_embeds=torch.from_numpy(negative),
        generator=torch.Generator().manual_seed(43),
        **given,
    ).images
    got = ours(image_embeds=embeds, negative_image_embeds=negative, seed=43, **options).images
    assert got.shape == expected.shape
    difference = np.abs(got - expected).max()
    print(f"{task}, {model}: max abs {difference:.1e}")  # noqa: T201 - shown by pytest -rP
    assert difference <= PICTURE_TOLERANCE
    assert expected.std() > 0.01, "a flat picture proves nothing"


SQUARE: dict[str, Any] = {"height": 32, "width": 32, "guidance_scale": 1.5}
TALL: dict[str, Any] = {"height": 40, "width": 24, "guidance_scale": 1.5}
TWO = {"num_images_per_prompt": 2}
# name -> task, model, number of embeddings, arguments
CASES: dict[str, tuple[str, str, int, dict[str, Any]]] = {
    "img2img": (IMG2IMG, "random", 1, SQUARE | {"image": picture(50, 30), "strength": 0.6}),
    "inpaint": (
        INPAINT,
        "random",
        1,
        SQUARE | {"image": picture(70, 41), "mask_image": half_mask(20, 33)},
    ),
    "controlnet": (CONTROLNET, "random", 1, TALL | {"hint": depth(160, 96)}),
    "controlnet, img2img": (
        HINTED,
        "random",
        1,
        TALL | {"image": picture(24, 40), "hint": depth(160, 96), "strength": 0.5},
    ),
}
# More of the same, in slow tests, on JAX alone: core decides in what these differ.
MORE: dict[str, tuple[str, str, int, dict[str, Any]]] = {
    "img2img, two pictures, two each": (
        IMG2IMG,
        "random",
        2,
        TALL | TWO | {"image": [picture(24, 40), picture(60, 20, 1)], "strength": 0.9},
    ),
    "img2img, guidance off, whole strength": (
        IMG2IMG,
        "random",
        1,
        SQUARE | {"image": picture(32, 32), "strength": 1.0, "guidance_scale": 1.0},
    ),
    "img2img, batch of tensors": (
        IMG2IMG,
        "random",
        2,
        SQUARE | {"image": pixels_of(picture(32, 32), picture(32, 32, 1)), "strength": 0.5},
    ),
    "inpaint, two embeddings, two each": (
        INPAINT,
        "random",
        2,
        TALL | TWO | {"image": [picture(24, 40)] * 2, "mask_image": [half_mask(24, 40)] * 2},
    ),
    "inpaint, mask of floats": (
        INPAINT,
        "random",
        1,
        TALL
        | {
            "image": picture(24, 40),
            "mask_image": np.tile(np.linspace(0, 1, 24, dtype=np.float32), (40, 1)),
        },
    ),
    "inpaint, tensors, guidance off": (
        INPAINT,
        "random",
        1,
        TALL
        | {
            "guidance_scale": 1.0,
            "image": pixels_of(picture(24, 40)),
            "mask_image": torch.from_numpy(np.array(half_mask(24, 40)) / np.float32(255)),
        },
    ),
    "controlnet, two hints, two each": (
        CONTROLNET,
        "random",
        2,
        SQUARE | TWO | {"hint": depth(128, 128, 2)},
    ),
    "controlnet, guidance off": (
        CONTROLNET,
        "random",
        1,
        SQUARE | {"hint": depth(128, 128), "guidance_scale": 0.0},
    ),
    "controlnet, img2img, two": (
        HINTED,
        "random",
        2,
        SQUARE
        | TWO
        | {"image": [picture(32, 32), picture(9, 8, 1)], "hint": depth(128, 128, 2), "strength": 1},
    ),
}


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, marks=[pytest.mark.slow] * ("controlnet" in case)) for case in CASES],
)
def test_same_seed_same_picture(load: Any, case: str) -> None:
    compare(load, *CASES[case])


@pytest.mark.slow(seconds=4)
@pytest.mark.parametrize(
    ("backend", "case"), all_on_jax(MORE), indirect=["backend"], scope="module"
)
def test_same_seed_same_picture_in_more_cases(load: Any, case: str) -> None:
    compare(load, *MORE[case])


class _Euler(diffusers.EulerDiscreteScheduler):  # type: ignore[misc]
    """Inpainting hands over noise that has been scaled already."""

    def add_noise(self, original: Any, noise: Any, timesteps: Any) -> Any:
        return super().add_noise(original, noise / self.init_noise_sigma, timesteps)


SWAPPED = [
    (INPAINT, "DPMSolverMultistepScheduler"),
    (INPAINT, "EulerDiscreteScheduler"),
    (INPAINT, "UniPCMultistepScheduler"),  # it remembers, and kept latents are put back
    (IMG2IMG, "DPMSolverMultistepScheduler"),
    (IMG2IMG, "EulerDiscreteScheduler"),
]


@pytest.mark.slow
@on_jax("backend")
@pytest.mark.parametrize(("task", "name"), SWAPPED)
def test_swapped_scheduler(load: Any, task: str, name: str) -> None:
    """Schedulers are core's, so one backend tries all; a trained model damps what differs."""
    theirs, ours = load(task, "shapes")
    before = theirs.scheduler, ours.scheduler
    euler = name.startswith("Euler") and task == INPAINT
    scheduler = _Euler if euler else reference_scheduler(name)
    request: dict[str, Any] = {"height": 32, "width": 32, "image": picture(64, 64)}
    request |= {"strength": 0.8} if task == IMG2IMG else {"mask_image": half_mask(64, 64)}
    theirs.scheduler = scheduler.from_config(theirs.scheduler.config)
    ours.scheduler = getattr(kandinsky, name).from_config(ours.scheduler.config)
    try:
        with scaled_input(theirs):
            compare(load, task, "shapes", 1, request)
    finally:
        theirs.scheduler, ours.scheduler = before


@pytest.mark.slow
@on_jax("backend")
def test_learned_variance_is_kept_where_the_scheduler_asks_for_it(load: Any) -> None:
    """Bugs 1 and 36: published configs drop it; `learned_range` uses it."""
    theirs, ours = load(IMG2IMG, "shapes")
    request = {"height": 32, "width": 32, "image": picture(32, 32), "strength": 0.8}
    embeds = np.ones((1, WIDTHS["shapes"]), np.float32)

    def draw() -> Any:
        options = request | {"num_inference_steps": 8, "output_type": "latent", "seed": 1}
        return ours(embeds, negative_image_embeds=embeds, **options).images

    plain, before = draw(), (theirs.scheduler, ours.scheduler)
    theirs.scheduler, ours.scheduler = (
        type(scheduler).from_config(scheduler.config, variance_type="learned_range")
        for scheduler in before
    )
    try:
        compare(load, IMG2IMG, "shapes", 1, request)
        learned = draw()
    finally:
        theirs.scheduler, ours.scheduler = before
    assert np.abs(learned - plain).max() > 0.01


# Core holds the defaults, so one backend draws one task with them. Steps take MindSpore on a CPU
# long; image to image takes three tenths of them.
DEFAULTS = [("jax", INPAINT, 100), ("mindspore", IMG2IMG, 40)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backend", "task", "steps"),
    [pytest.param(backend, *asked, marks=needs(backend)) for backend, *asked in DEFAULTS],
    indirect=["backend"],
)
def test_default_settings_on_shapes(load: Any, task: str, steps: int) -> None:
    """A hundred steps, guidance 4; or as many as a backend makes in reasonable time."""
    pictures = {
        IMG2IMG: {"image": picture(64, 64)},
        INPAINT: {"image": picture(64, 64), "mask_image": half_mask(64, 64)},
    }
    sizes = {"height": 64, "width": 64, "num_inference_steps": steps}
    compare(load, task, "shapes", 1, sizes | pictures[task])
