"""Whole pipelines on MindSpore: the pictures of JAX and of PyTorch diffusers for the same seed.

All on a CPU in float32, with the embedded model; the three run in one process. Measured: 2e-5.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("mindspore")
pytest.importorskip("mindone")

from kandinsky_mindspore.runtime import load_mindspore

ms = load_mindspore()  # which has NumPy know `bfloat16` as before
pytest.importorskip("jax")
torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")

import kandinsky_core as kandinsky  # noqa: E402
from kandinsky_core.checkpoints.hub import EMBEDDED  # noqa: E402
from kandinsky_core.errors import InvalidInputError  # noqa: E402
from tests.parity import tiny  # noqa: E402
from tests.support.tolerances import allowed  # noqa: E402

PICTURE_TOLERANCE = allowed("picture")
EMBEDDING_TOLERANCE = allowed("embeddings")
LATENT_TOLERANCE = allowed("latents")
PROMPT = "a large red circle on a blue background"


@pytest.fixture(scope="module")
def pipes(backend_of: Callable[[str], Any]) -> dict[str, Any]:
    """The combined pipeline of each library."""
    loaded = {}
    for backend in ("jax", "mindspore"):
        pipe = kandinsky.AutoPipelineForText2Image.from_pretrained(
            "shapes", backend=backend_of(backend)
        )
        pipe.set_progress_bar_config(disable=True)
        assert (pipe.backend, pipe.device, pipe.dtype) == (backend, "cpu", "float32")
        loaded[backend] = pipe
    prior = diffusers.KandinskyV22PriorPipeline.from_pretrained(EMBEDDED["shapes"] / "prior")
    decoder = diffusers.KandinskyV22Pipeline.from_pretrained(EMBEDDED["shapes"] / "decoder")
    prior.to(dtype=torch.float32)
    decoder.to(dtype=torch.float32)
    components = {f"prior_{name}": value for name, value in prior.components.items()}
    loaded["diffusers"] = diffusers.KandinskyV22CombinedPipeline(**decoder.components, **components)
    loaded["diffusers"].set_progress_bar_config(disable=True)
    return loaded


# Sizes, batches and guidance are core's, and tested with JAX; so are the default settings.
def test_same_seed_same_picture(pipes: dict[str, Any]) -> None:
    request = {"height": 64, "width": 64, "output_type": "np"}
    request |= {"num_inference_steps": 4, "prior_num_inference_steps": 3}
    pictures = {
        name: pipes[name](PROMPT, **request, generator=generator).images
        for name, generator in {
            "jax": 43,
            "mindspore": 43,
            "diffusers": torch.Generator().manual_seed(43),
        }.items()
    }
    for other in ("jax", "diffusers"):
        assert pictures["mindspore"].shape == pictures[other].shape
        difference = np.abs(pictures["mindspore"] - pictures[other]).max()
        print(f"{other}: max abs {difference:.1e}")  # noqa: T201 - shown by pytest -rP
        assert difference <= PICTURE_TOLERANCE
    assert pictures["mindspore"].std() > 0.01, "a flat picture proves nothing"


def test_embeddings_and_latents_of_the_halves(pipes: dict[str, Any]) -> None:
    """Before a picture's clipping hides anything."""
    embeds, latents = {}, {}
    for name in ("jax", "mindspore"):
        pipe = pipes[name]
        generator = kandinsky.Generator(5)
        embeds[name] = pipe.prior_pipe(
            PROMPT, negative_prompt="x", num_inference_steps=5, generator=generator
        )
        latents[name] = pipe.decoder_pipe(
            **embeds["jax"], num_inference_steps=5, generator=generator, output_type="latent"
        ).images
    for key in embeds["jax"].keys():  # noqa: SIM118
        error = tiny.relative_error(embeds["mindspore"][key], embeds["jax"][key])
        assert error < EMBEDDING_TOLERANCE, key
    assert tiny.relative_error(latents["mindspore"], latents["jax"]) < LATENT_TOLERANCE


def test_components_of_two_backends_make_one_pipeline(pipes: dict[str, Any]) -> None:
    """They meet as NumPy: a prior on JAX feeds a decoder on MindSpore."""
    jax, mindspore = pipes["jax"], pipes["mindspore"]
    mixed = kandinsky.KandinskyV22Pipeline(
        **{**jax.decoder_pipe.components, "unet": mindspore.unet}
    )
    mixed.set_progress_bar_config(disable=True)
    embeds = jax.prior_pipe("a star", seed=1, num_inference_steps=2)
    request: dict[str, Any] = {"num_inference_steps": 2, "seed": 2, "output_type": "np"}
    expected = jax.decoder_pipe(**embeds, **request).images
    assert np.abs(mixed(**embeds, **request).images - expected).max() <= PICTURE_TOLERANCE


@pytest.mark.slow
def test_bfloat16_on_jax_beside_mindspore(shallow: Path) -> None:
    """MindSpore, imported above, has NumPy call a type of its own `bfloat16`."""
    request: dict[str, Any] = {"num_inference_steps": 2, "prior_num_inference_steps": 2, "seed": 1}
    pipe = kandinsky.AutoPipelineForText2Image.from_pretrained(
        shallow, backend="jax", dtype="bfloat16"
    )
    pipe.set_progress_bar_config(disable=True)
    expected = pipe(PROMPT, **request, output_type="np").images
    assert expected.std() > 0.01
    pipe.to("float32").to("bfloat16")
    assert pipe.dtype == "bfloat16"
    np.testing.assert_array_equal(pipe(PROMPT, **request, output_type="np").images, expected)


@pytest.mark.parametrize("backend", ["jax", "mindspore"])
def test_keyword_of_mindones_page(backend: str) -> None:
    load = kandinsky.KandinskyV22PriorPipeline.from_pretrained
    assert load("shapes", backend=backend, mindspore=ms.float16).dtype == "float16"
    with pytest.raises(InvalidInputError, match="several dtypes were given: float16, float32"):
        load("shapes", backend=backend, mindspore=ms.float16, mindspore_dtype=ms.float32)
