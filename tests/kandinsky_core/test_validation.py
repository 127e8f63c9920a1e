"""Arguments are checked, and the message says what was given and what is allowed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from kandinsky_core.errors import InvalidInputError, KandinskyError
from kandinsky_core.validation import (
    as_batch,
    as_prompts,
    negatives_for,
    one_of,
    positive_int,
    real_number,
)
from tests.support.fakes import WIDTH, combined_pipeline, decoder_pipeline


def refused(call: Callable[..., object], *arguments: Any, **options: Any) -> str:
    with pytest.raises(InvalidInputError) as caught:
        call(*arguments, **options)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, KandinskyError)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("value", [0, -1, 1.0, True, "3", None, np.float32(2), 10**400 * -1])
def test_positive_int_refuses(value: Any) -> None:
    assert "steps=" in refused(positive_int, "steps", value)


def test_positive_int_takes_numpy_integers() -> None:
    assert type(positive_int("steps", np.int64(3))) is int


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), -np.inf, np.float16("nan"), 10**400, 1e39, True, "4", None, 4j],
)
def test_real_number_refuses(value: Any) -> None:
    assert "guidance_scale=" in refused(real_number, "guidance_scale", value)


@pytest.mark.parametrize("value", [0, -1.5, np.float16(2), np.int8(3)])
def test_real_number_takes(value: Any) -> None:
    assert real_number("guidance_scale", value) == value
    assert type(real_number("guidance_scale", value)) is float


@pytest.mark.parametrize("value", [None, 5, [], (), ["a", 3], [["a"]], b"a", {"a"}, [None]])
def test_prompts_must_be_text(value: Any) -> None:
    assert refused(as_prompts, "prompt", value).startswith("prompt must")


def test_prompts_must_be_unicode() -> None:
    # What Python reads from the command line when a byte is no UTF-8.
    broken = b"caf\xe9".decode("utf-8", "surrogateescape")
    assert "prompt='caf\\udce9' is no valid Unicode" in refused(as_prompts, "prompt", ["a", broken])


def test_prompts_are_kept_as_they_are() -> None:
    assert as_prompts("prompt", "") == [""]
    assert as_prompts("prompt", ("a", " b\n", "é😀")) == ["a", " b\n", "é😀"]


def test_negative_prompts_are_one_for_all_or_one_for_each() -> None:
    assert negatives_for(["a", "b"], None) is None
    assert negatives_for(["a", "b"], "") == ["", ""]
    assert negatives_for(["a", "b"], ["x", "y"]) == ["x", "y"]
    for wrong in (["x"], ["x", "y", "z"]):
        assert "texts for 2 prompts" in refused(negatives_for, ["a", "b"], wrong)
    assert "negative_prompt must" in refused(negatives_for, ["a"], 3)


def test_one_of_lists_the_choices() -> None:
    assert refused(one_of, "kind", "c", ("a", "b")) == "kind='c': choose one of a, b"


def test_batches_are_joined_and_cast() -> None:
    joined = as_batch("embeds", [np.ones((1, 3)), [[1, 2, 3]]], (2, 3))
    assert joined.dtype == np.float32
    np.testing.assert_array_equal(joined, [[1, 1, 1], [1, 2, 3]])


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (np.zeros((2, 4)), "has shape (2, 4), expected (any, 3)"),
        (np.zeros(3), "has shape (3,), expected (any, 3)"),
        (np.zeros((0, 3)), "has shape (0, 3), expected (any, 3)"),
        ([], "no numeric array"),
        (3.0, "no numeric array"),
        ("text", "no numeric array"),
        ([np.zeros((1, 3)), np.zeros((1, 4))], "no numeric array"),
        ([[[1, 2], [3]]], "no numeric array"),
        (None, "embeds is missing: give an array of shape (any, 3)"),
        (np.array([[1, 2, np.nan]]), "embeds holds NaN or infinity in 1 of 3 values: give finite"),
        (np.full((2, 3), 1e300), "embeds holds NaN or infinity in 6 of 6 values"),
    ],
)
def test_batches_that_do_not_fit(value: Any, said: str) -> None:
    assert said in refused(as_batch, "embeds", value, (None, 3))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"prompt": 7}, "prompt must be text"),
        ({"prompt": []}, "prompt must be text"),
        ({"negative_prompt": ["x", "y"]}, "2 texts for 1 prompts"),
        ({"negative_prompt": 4}, "negative_prompt must be text"),
        ({"num_images_per_prompt": 0}, "num_images_per_prompt=0"),
        ({"num_images_per_prompt": 1.5}, "num_images_per_prompt=1.5"),
        ({"height": -64}, "height=-64"),
        ({"width": 0}, "width=0"),
        ({"width": 64.0}, "width=64.0"),
        ({"num_inference_steps": 0}, "num_inference_steps"),
        ({"num_inference_steps": 1001}, "1000"),
        ({"prior_num_inference_steps": -1}, "num_inference_steps"),
        ({"guidance_scale": float("nan")}, "guidance_scale=nan"),
        ({"prior_guidance_scale": float("inf")}, "guidance_scale=inf"),
        ({"output_type": "jpg"}, "output_type='jpg': choose one of pil, np, pt, latent"),
        ({"latents": np.zeros((2, WIDTH))}, "latents has shape"),
        ({"seed": [1, 2]}, "seed has 2 entries for 1 images"),
        ({"seed": []}, "seed has 0 entries for 1 images"),
        ({"seed": 1, "generator": 1}, "both given"),
        ({"seed": "1"}, "seed"),
        ({"generator": object()}, "give a kandinsky_core.Generator"),
        ({"callback_on_step_end": 3}, "not callable"),
        ({"callback_on_step_end_tensor_inputs": ["prompt_embeds"]}, "'prompt_embeds'"),
        ({"prior_callback_on_step_end_tensor_inputs": ["image_embeds"]}, "'image_embeds'"),
    ],
)
def test_pipeline_refuses(given: dict[str, Any], said: str) -> None:
    pipe = combined_pipeline()
    assert said in refused(pipe, **{"prompt": "a", **given})
    assert not pipe.unet.runs
    assert not pipe.prior_prior.runs


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"image_embeds": None}, "image_embeds is missing"),
        ({"image_embeds": np.zeros((1, WIDTH + 1))}, "image_embeds has shape"),
        ({"negative_image_embeds": None}, "negative_image_embeds is missing"),
        ({"negative_image_embeds": np.zeros((2, WIDTH))}, "negative_image_embeds has shape"),
        ({"latents": np.zeros((1, 4, 4, 5))}, "(1, 4, 4, 5), expected (1, 4, 4, 4)"),
        ({"latents": np.zeros((4, 4, 4))}, "latents has shape"),
    ],
)
def test_decoder_refuses(given: dict[str, Any], said: str) -> None:
    pipe = decoder_pipeline()
    embeds = np.ones((1, WIDTH), np.float32)
    arguments = {"image_embeds": embeds, "negative_image_embeds": embeds, **given}
    assert said in refused(pipe, **arguments)


def test_interpolate_refuses() -> None:
    prior = combined_pipeline().prior_pipe
    assert "2 items but 1 weights" in refused(prior.interpolate, ["a", "b"], [1])
    assert "images_and_prompts is empty" in refused(prior.interpolate, [], [])
    assert "images_and_prompts has shape ()" in refused(prior.interpolate, ["a", 3], [1, 1])
    assert "weights=nan" in refused(prior.interpolate, ["a"], [float("nan")])
