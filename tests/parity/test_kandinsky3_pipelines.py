"""Kandinsky 3's pipelines against diffusers': the same integer seed gives the same picture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import diffusers
import torch
from PIL import Image

import kandinsky_core as kandinsky
from tests.parity.random_models_3 import TEXTS, save_kandinsky3
from tests.support.backends import BACKENDS, on_jax
from tests.support.tolerances import allowed

PICTURE_TOLERANCE = allowed("3 picture")
REQUEST = {"num_inference_steps": 4, "guidance_scale": 1.5, "output_type": "np"}
SIZE = {"height": 64, "width": 128}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_kandinsky3(tmp_path_factory.mktemp("kandinsky3"))


@pytest.fixture(scope="module", params=BACKENDS)
def pair(folder: Path, request: pytest.FixtureRequest, backend_of: Callable[[str], Any]) -> Any:
    """Loads the reference's and our pipeline of a name."""

    def load(name: str) -> tuple[Any, Any]:
        theirs = getattr(diffusers, name).from_pretrained(folder)
        ours = getattr(kandinsky, name).from_pretrained(folder, backend=backend_of(request.param))
        for pipe in (theirs, ours):
            pipe.set_progress_bar_config(disable=True)
        return theirs, ours

    return load


def check(got: Any, expected: Any) -> None:
    difference = np.abs(got - expected).max()
    print(f"max abs {difference:.1e}")  # noqa: T201 - shown by pytest -rP
    assert got.shape == expected.shape
    assert difference <= PICTURE_TOLERANCE
    assert expected.std() > 0.01, "a flat picture proves nothing"


def test_text_to_image(pair: Any) -> None:
    text_to_image(pair, None)


@pytest.mark.slow
@on_jax("pair")
def test_text_to_image_with_a_negative_prompt(pair: Any) -> None:
    text_to_image(pair, TEXTS[2])


def text_to_image(pair: Any, negative: str | None) -> None:
    theirs, ours = pair("Kandinsky3Pipeline")
    request = REQUEST | SIZE | {"negative_prompt": negative}
    expected = theirs(TEXTS[0], **request, generator=torch.Generator().manual_seed(7)).images
    check(ours(TEXTS[0], **request, seed=7).images, expected)


@pytest.mark.slow
@on_jax("pair")
def test_two_prompts_without_guidance(pair: Any) -> None:
    theirs, ours = pair("Kandinsky3Pipeline")
    request = REQUEST | SIZE | {"guidance_scale": 1.0}
    texts = list(TEXTS[:2])
    expected = theirs(texts, **request, generator=torch.Generator().manual_seed(7)).images
    check(ours(texts, **request, generator=7).images, expected)


@pytest.mark.slow
@on_jax("pair")
def test_prompts_with_several_pictures_of_an_odd_size(pair: Any) -> None:
    """The reference tiles the masks of several pictures: prompts of one length do not show it.

    It paints whole latents and cuts nothing off.
    """
    theirs, ours = pair("Kandinsky3Pipeline")
    request = REQUEST | {"height": 100, "width": 72, "num_images_per_prompt": 2}
    texts = ["a green square", "low quality"]
    assert len({len(theirs.tokenizer(text).input_ids) for text in texts}) == 1
    generator = torch.Generator().manual_seed(7)
    expected = theirs(texts, **request, negative_prompt=["low"] * 2, generator=generator).images
    got = ours(texts, **request, negative_prompt="low", seed=7).images
    assert expected.shape == (4, 128, 128, 3)
    check(got, expected[:, :100, :72])


@pytest.mark.slow
@on_jax("pair")
def test_several_prompts_keep_their_masks(pair: Any) -> None:
    """Where the reference mixes them up: each prompt's pictures see its own tokens."""
    _, ours = pair("Kandinsky3Pipeline")
    seen = {}

    def note(pipe: Any, step: int, timestep: int, values: dict[str, Any]) -> dict[str, Any]:
        seen["mask"] = values["attention_mask"]
        return {}

    texts = [TEXTS[0], TEXTS[1]]
    lengths = [int(ours.tokenizer([text])[1].sum()) for text in texts]
    ours(
        texts,
        **SIZE,
        **(REQUEST | {"num_inference_steps": 1}),
        num_images_per_prompt=2,
        callback_on_step_end=note,
        callback_on_step_end_tensor_inputs=["attention_mask"],
    )
    assert seen["mask"].sum(axis=1).tolist() == [0] * 4 + [lengths[0]] * 2 + [lengths[1]] * 2


@pytest.mark.slow
def test_image_to_image(pair: Any) -> None:
    theirs, ours = pair("Kandinsky3Img2ImgPipeline")
    pixels = np.random.default_rng(0).integers(0, 256, (64, 128, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    request = REQUEST | {"strength": 0.6, "image": image}
    expected = theirs(TEXTS[0], **request, generator=torch.Generator().manual_seed(7)).images
    check(ours(TEXTS[0], **request, seed=7).images, expected)


@pytest.mark.slow
@on_jax("pair")
def test_saved_embeddings_stand_for_their_prompt(folder: Path, pair: Any, tmp_path: Path) -> None:
    """Without a text encoder, and with the negative prompt's among them."""
    theirs, ours = pair("Kandinsky3Pipeline")
    whole = ours(TEXTS[0], negative_prompt=TEXTS[1], **REQUEST, **SIZE, seed=1).images
    embeds = ours.encode_prompt(TEXTS[0], negative_prompt=TEXTS[1])
    for mine, other in zip(
        embeds,
        theirs.encode_prompt(TEXTS[0], negative_prompt=TEXTS[1], _cut_context=True),
        strict=True,
    ):
        np.testing.assert_allclose(mine, other, atol=allowed("3 embeddings"))
    embeds.save(tmp_path / "prompt.safetensors")
    small = kandinsky.Kandinsky3Pipeline.from_pretrained(
        folder, text_encoder=None, tokenizer=None, backend=ours.backend
    )
    small.set_progress_bar_config(disable=True)
    given = kandinsky.PromptEmbeds.load(tmp_path / "prompt.safetensors")
    np.testing.assert_array_equal(small(**given, **REQUEST, **SIZE, seed=1).images, whole)
    with pytest.raises(kandinsky.KandinskyError, match="this pipeline has no text encoder: give"):
        small(TEXTS[0], **REQUEST, **SIZE)
    with pytest.raises(kandinsky.KandinskyError, match="attention_mask is missing"):
        small(prompt_embeds=given.prompt_embeds, **REQUEST, **SIZE)
    with pytest.raises(kandinsky.KandinskyError, match="either prompt or prompt_embeds"):
        small(**REQUEST, **SIZE)
