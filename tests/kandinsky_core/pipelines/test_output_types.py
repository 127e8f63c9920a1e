"""Results as PyTorch tensors, default sizes, and batches of prompts, on the backend of NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kandinsky_core.errors import BackendUnavailableError, InvalidInputError
from kandinsky_core.pictures import torch_tensors
from tests.kandinsky_core.pipelines import test_kandinsky3 as fakes_3
from tests.support import fakes_2_1
from tests.support.fakes import (
    WIDTH,
    combined_pipeline,
    decoder_pipeline,
    emb2emb_pipeline,
    image_pipeline,
)

EMBEDS: dict[str, Any] = {
    "image_embeds": np.ones((1, WIDTH)),
    "negative_image_embeds": np.zeros((1, WIDTH)),
}
GREY, LEFT = np.full((16, 16, 3), 0.5, np.float32), np.zeros((16, 16), np.float32)
LEFT[:, :8] = 1
INPUTS: dict[str, dict[str, Any]] = {
    "decoder": {},
    "img2img": {"image": GREY, "strength": 0.5},
    "inpaint": {"image": GREY, "mask_image": LEFT},
    "controlnet": {"hint": GREY},
    "controlnet img2img": {"hint": GREY, "image": GREY, "strength": 0.5},
}
FEW: dict[str, Any] = {"num_inference_steps": 2, "seed": 0}


@pytest.mark.parametrize("task", INPUTS)
def test_pictures_as_tensors(task: str) -> None:
    """As in diffusers, only image to image gives 0 to 1; the others give what MoVQ gave."""
    torch = pytest.importorskip("torch")
    pipe, request = image_pipeline(task), {**EMBEDS, **INPUTS[task], **FEW, "height": 13}
    images = pipe(**request, output_type="pt").images
    assert isinstance(images, torch.Tensor)
    assert images.shape == (1, 3, 13, 16)
    pixels = pipe.movq.decode(pipe(**request, output_type="latent").images)[:, :, :13]
    expected = np.clip(pixels / 2 + 0.5, 0, 1) if "img2img" in task else pixels
    np.testing.assert_allclose(images, expected, atol=1e-6)
    assert pixels.min() < -0.9


def test_kept_pixels_are_pasted_into_tensors() -> None:
    pytest.importorskip("torch")
    request = {**EMBEDS, **INPUTS["inpaint"], **FEW, "paste_back": True}
    pipe = image_pipeline("inpaint")
    tensor, array = (pipe(**request, output_type=kind).images for kind in ("pt", "np"))
    np.testing.assert_allclose(tensor, array.transpose(0, 3, 1, 2) * 2 - 1, atol=1e-6)


def test_embeddings_as_tensors() -> None:
    torch = pytest.importorskip("torch")
    prior = combined_pipeline().prior_pipe
    for pipe, inputs in ((prior, {}), (emb2emb_pipeline(), {"image": GREY, "strength": 1})):
        tensors, arrays = (
            pipe("a", **inputs, **FEW, output_type=kind).to_tuple() for kind in ("pt", "np")
        )
        for tensor, array in zip(tensors, arrays, strict=True):
            assert isinstance(tensor, torch.Tensor)
            np.testing.assert_array_equal(tensor, array)
    decoder_pipeline()(*tensors, **FEW)


def test_without_pytorch_tensors_are_refused_before_anything_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch_tensors, "find_spec", lambda name: None)
    pipe = combined_pipeline()
    for call in (pipe, pipe.prior_pipe):
        with pytest.raises(BackendUnavailableError, match="PyTorch is not installed: pip install"):
            call("a", output_type="pt")
    assert not pipe.prior_pipe.prior.runs
    pipe("a", **FEW, output_type="np")


def test_a_unet_without_a_sample_size_makes_diffusers_default() -> None:
    pipe = decoder_pipeline()
    pipe.unet.config.sample_size = None
    assert pipe.prepare(**EMBEDS).plan.height == pipe.default_size == 512


def test_texts_are_encoded_without_a_unet() -> None:
    whole = fakes_3.pipeline()
    alone = fakes_3.pipeline(unet=None, movq=None)
    for pipe in (whole, alone):
        pipe.text_encoder.config.d_model = fakes_3.STATES
    assert (alone.dtype, alone.device) == ("float32", "cpu")
    expected, got = (pipe.encode_prompt("ab", negative_prompt="b") for pipe in (whole, alone))
    for one, other in zip(expected, got, strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(InvalidInputError, match="has no unet and no movq, so it makes no pictures"):
        alone("ab")
    again = alone.encode_prompt(None, True, 2, **dict(got))
    np.testing.assert_array_equal(again.prompt_embeds, got.prompt_embeds.repeat(2, axis=0))
    assert again.negative_attention_mask.tolist() == [got.negative_attention_mask[0].tolist()] * 2


@pytest.mark.parametrize("task", ["decoder", "img2img", "inpaint"])
@pytest.mark.parametrize("family", ["2.1", "2.2"])
def test_prompts_of_a_batch_make_the_pictures_that_they_make_alone(family: str, task: str) -> None:
    """With a generator for each picture; the prior, the decoder, and pictures of their own."""
    classes = {type_.__name__: type_ for type_ in fakes_2_1.COMBINED[task].__mro__}
    second = next(type_ for name, type_ in classes.items() if name.startswith("KandinskyV22"))
    pipe = fakes_2_1.combined(task) if family == "2.1" else combined_pipeline(second)
    pipe.scheduler = fakes_2_1.text_components(task)["scheduler"]  # which clips nothing
    texts, seeds = ["two stars", "white", "a"], [5, 6, 7]
    pictures = [GREY * row for row in (0.2, 0.9, 1.6)]
    request = {"num_inference_steps": 2, "prior_num_inference_steps": 2, "output_type": "latent"}
    own: dict[str, list[Any]] = {name: [value] * 3 for name, value in INPUTS[task].items()}
    own |= {"image": pictures} if "image" in own else {}
    shared = {"strength": own.pop("strength")[0]} if "strength" in own else {}
    batch = pipe(texts, **own, **shared, **request, seed=seeds).images
    for row, text in enumerate(texts):
        one = {name: values[row] for name, values in own.items()}
        alone = pipe(text, **one, **shared, **request, seed=[seeds[row]]).images
        np.testing.assert_allclose(batch[row], alone[0], rtol=1e-5, atol=1e-5)
    assert np.abs(batch[0] - batch[1]).max() > 1e-3, "they are different pictures"


@pytest.mark.parametrize("task", ["img2img", "controlnet img2img"])
def test_one_picture_for_several_embeddings_is_noised_once(task: str) -> None:
    """As in diffusers; not where each picture has its own generator, or several of an embedding."""
    pipe = image_pipeline(task)
    rows = {name: np.repeat(value, 2, axis=0) for name, value in EMBEDS.items()}
    request = {**rows, **INPUTS[task], "num_inference_steps": 2, "output_type": "latent"}
    equal = []
    for others in ({"generator": 5}, {"generator": [5, 6]}, {"num_images_per_prompt": 2}):
        pipe(**request, **others)
        first = pipe.unet.runs[-1].first
        equal.append(all(np.array_equal(row, first[0]) for row in first))
    assert equal == [True, False, False]
    pipe(**request | {"image": [GREY, GREY]}, generator=5)
    first = pipe.unet.runs[-1].first
    assert not np.array_equal(first[0], first[1])
