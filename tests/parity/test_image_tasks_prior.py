"""Priors that take pictures, and the combined image tasks, against PyTorch diffusers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")

import kandinsky_core as kandinsky  # noqa: E402
from tests.parity import tiny  # noqa: E402
from tests.parity.test_image_tasks import half_mask, picture, pixels_of  # noqa: E402
from tests.support.backends import BACKENDS, all_on_jax, on_jax  # noqa: E402
from tests.support.tolerances import allowed  # noqa: E402

EMBEDDING_TOLERANCE = allowed("embeddings")
PICTURE_TOLERANCE = allowed("picture")
PROMPTS = ["a large red circle on a blue background", "two stars"]


@pytest.fixture(scope="module", params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def priors(backend: str, random_root: Path, backend_of: Callable[[str], Any]) -> Any:
    """Load both priors of the reference and ours, which share their networks."""
    loaded: list[Any] = []

    def load(name: str) -> tuple[Any, Any]:
        if not loaded:
            theirs = diffusers.KandinskyV22PriorPipeline.from_pretrained(random_root / "prior")
            theirs.to(dtype=torch.float32)
            ours = kandinsky.KandinskyV22PriorPipeline.from_pretrained(
                random_root, backend=backend_of(backend)
            )
            loaded.extend((theirs, ours))
        pair = tuple(
            getattr(library, name)(**pipe.components)
            for library, pipe in zip((diffusers, kandinsky), loaded, strict=True)
        )
        for pipe in pair:
            pipe.set_progress_bar_config(disable=True)
        return pair  # type: ignore[return-value]

    return load


def check(case: str, have: Any, want: Any) -> None:
    for name in have.keys():  # noqa: SIM118
        error = tiny.relative_error(have[name], want[name].detach())
        print(f"{case}, {name}: relative {error:.1e}")  # noqa: T201 - shown by pytest -rP
        assert error < EMBEDDING_TOLERANCE, name


EMB2EMB: dict[str, dict[str, Any]] = {
    "picture": {"prompt": PROMPTS[0], "image": picture(80, 50)},
    "negative prompt, two each": {
        "prompt": PROMPTS,
        "image": [picture(30, 60), picture(60, 30, 1)],
        "negative_prompt": ["green", "low quality"],
        "num_images_per_prompt": 2,
        "strength": 0.8,
    },
    "embedding, guidance off": {
        "prompt": PROMPTS[1],
        "image": torch.randn((1, 24), generator=torch.Generator().manual_seed(1)),
        "guidance_scale": 1.0,
        "strength": 1.0,
    },
}


@pytest.mark.parametrize(
    ("backend", "case"), all_on_jax(EMB2EMB, "picture"), indirect=["backend"], scope="module"
)
def test_emb2emb(priors: Any, case: str) -> None:
    theirs, ours = priors("KandinskyV22PriorEmb2EmbPipeline")
    request = {"num_inference_steps": 10, "strength": 0.5} | EMB2EMB[case]
    want = theirs(**request, generator=torch.Generator().manual_seed(7))
    check(case, ours(**request, seed=7), want)


INTERPOLATIONS: dict[str, dict[str, Any]] = {
    "pictures and texts": {},
    "two rows": {"num_images_per_prompt": 2, "negative_prompt": "green"},
    "negative of the items": {"negative_prior_prompt": "low quality"},
}


@pytest.mark.parametrize(
    ("backend", "case"),
    all_on_jax(INTERPOLATIONS, "pictures and texts"),
    indirect=["backend"],
    scope="module",
)
def test_interpolation(priors: Any, case: str) -> None:
    theirs, ours = priors("KandinskyV22PriorPipeline")
    items = [PROMPTS[0], picture(90, 40), PROMPTS[1], picture(31, 60, 1)]
    weights = [0.3, 0.3, 0.2, 0.5]
    options = {"num_inference_steps": 3} | INTERPOLATIONS[case]
    want = theirs.interpolate(items, weights, **options, generator=torch.Generator().manual_seed(2))
    check(case, ours.interpolate(items, weights, **options, seed=2), want)


@on_jax("backend")
def test_pixels_of_clips_processor_pass(priors: Any) -> None:
    """What diffusers takes beside PIL: pixels [1, 3, S, S]."""
    theirs, ours = priors("KandinskyV22PriorPipeline")
    processor = ours.image_processor
    assert processor["crop_size"]["height"] == 42
    pixels = pixels_of(picture(42, 42))
    options: dict[str, Any] = {"num_inference_steps": 2}
    want = theirs.interpolate(
        [pixels], [0.5], **options, generator=torch.Generator().manual_seed(2)
    )
    check("pixels", ours.interpolate([pixels], [0.5], **options, seed=2), want)
    alike = ours.interpolate([pixels.numpy()], [0.5], **options, seed=2)
    np.testing.assert_array_equal(alike.image_embeds, 0.5 * ours._encode_pixels(pixels.numpy()))


COMBINED: dict[str, tuple[str, str, dict[str, Any]]] = {
    "img2img": (
        "Img2Img",
        "decoder",
        {"prompt": PROMPTS[0], "image": picture(50, 30), "strength": 0.6},
    ),
    "img2img, two each, negative": (
        "Img2Img",
        "decoder",
        {
            "prompt": PROMPTS[0],
            "image": picture(50, 30),
            "strength": 0.5,
            "negative_prompt": "green",
            "num_images_per_prompt": 2,
        },
    ),
    "inpaint": (
        "Inpaint",
        "inpaint",
        {"prompt": PROMPTS[0], "image": picture(40, 60), "mask_image": half_mask(32, 32)},
    ),
    "inpaint, negative": (
        "Inpaint",
        "inpaint",
        {
            "prompt": PROMPTS[:1],
            "image": [picture(40, 60)],
            "mask_image": [half_mask(20, 30)],
            "negative_prompt": ["low quality"],
            "prior_guidance_scale": 1.0,
        },
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backend", "case"),
    all_on_jax(COMBINED, "img2img", "inpaint"),
    indirect=["backend"],
    scope="module",
)
def test_combined_tasks(
    backend: str, random_root: Path, backend_of: Callable[[str], Any], case: str
) -> None:
    task, half, request = COMBINED[case]
    prior = diffusers.KandinskyV22PriorPipeline.from_pretrained(random_root / "prior")
    decoder = getattr(diffusers, f"KandinskyV22{task}Pipeline").from_pretrained(random_root / half)
    theirs = getattr(diffusers, f"KandinskyV22{task}CombinedPipeline")(
        **decoder.components, **{f"prior_{k}": v for k, v in prior.components.items()}
    )
    auto = {"Img2Img": "AutoPipelineForImage2Image", "Inpaint": "AutoPipelineForInpainting"}[task]
    ours = getattr(kandinsky, auto).from_pretrained(random_root, backend=backend_of(backend))
    for pipe in (theirs, ours):
        pipe.set_progress_bar_config(disable=True)
    options = {"height": 32, "width": 32, "num_inference_steps": 8, "prior_num_inference_steps": 3}
    options |= request | {"guidance_scale": 1.5, "output_type": "np"}
    expected = theirs(**options, generator=torch.Generator().manual_seed(43)).images
    got = ours(**options, generator=43).images
    assert got.shape == expected.shape
    difference = np.abs(got - expected).max()
    print(f"{case}: max abs {difference:.1e}")  # noqa: T201
    assert difference <= PICTURE_TOLERANCE
    assert expected.std() > 0.01, "a flat picture proves nothing"
