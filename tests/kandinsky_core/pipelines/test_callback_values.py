"""Callbacks get diffusers' names, in the form that their module works with, and the older form."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

import numpy as np
import pytest

from kandinsky_core.errors import InvalidInputError
from kandinsky_core.pipelines.shared.callback_tensors import uses_torch
from tests.support.fakes import WIDTH, combined_pipeline, decoder_pipeline, image_pipeline

EMBEDS: tuple[Any, Any] = (np.ones((1, WIDTH)), np.zeros((1, WIDTH)))
GREY, LEFT = np.full((16, 16, 3), 0.5, np.float32), np.zeros((16, 16), np.float32)
LEFT[:, :8] = 1
REQUEST: dict[str, Any] = {"num_inference_steps": 3, "output_type": "latent", "seed": 0}


@pytest.fixture
def decoder() -> Any:
    pipe = decoder_pipeline()
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture
def inpaint() -> Any:
    pipe = image_pipeline("inpaint")
    return partial(pipe, EMBEDS[0], GREY, LEFT, EMBEDS[1], **REQUEST), pipe


def test_shapes_of_inpainting_are_diffusers(inpaint: Any) -> None:
    run, pipe = inpaint
    seen = []

    def callback(pipe: Any, index: int, timestep: int, values: Any) -> Any:
        seen.append({name: value.shape for name, value in values.items()})
        return values

    names = pipe._callback_tensor_inputs
    run(callback_on_step_end=callback, callback_on_step_end_tensor_inputs=names)
    latent = (1, 4, 4, 4)
    assert seen[0] == {
        "latents": latent,
        "image_embeds": (2, WIDTH),
        "negative_image_embeds": (1, WIDTH),
        "masked_image": (2, *latent[1:]),
        "mask_image": (2, 1, 4, 4),
        "image_latents": (2, 5, 4, 4),
    }


def test_a_new_mask_counts_for_the_network_and_for_what_is_put_back(inpaint: Any) -> None:
    run, pipe = inpaint

    def callback(pipe: Any, index: int, timestep: int, values: Any) -> Any:
        return {"mask_image": np.ones_like(values["mask_image"])} if index == 2 else None

    whole = run(callback_on_step_end=callback, callback_on_step_end_tensor_inputs=["mask_image"])
    (fake,) = pipe.unet.runs
    assert (fake.kept.mask == 1).all()
    assert (fake.conditioning["image_latents"][:, -1:] == 1).all()
    np.testing.assert_array_equal(whole.images, np.zeros_like(whole.images), "GREY is 0 in latents")


@pytest.mark.parametrize("changed", ["mask_image", "image_latents"])
def test_of_two_names_of_an_array_the_changed_one_counts(inpaint: Any, changed: str) -> None:
    run, pipe = inpaint

    def callback(pipe: Any, index: int, timestep: int, values: Any) -> Any:
        return values | {changed: values[changed] + 1} if index == 0 else None

    names = ["mask_image", "image_latents", "masked_image"]
    run(callback_on_step_end=callback, callback_on_step_end_tensor_inputs=names)
    mask = pipe.unet.runs[-1].conditioning["image_latents"][:, -1]
    assert set(np.unique(mask)) == {1, 2}


def test_the_kept_part_stays_whatever_is_done_to_the_last_latents(inpaint: Any) -> None:
    run, pipe = inpaint
    images = run(callback_on_step_end=lambda *args: {"latents": args[-1]["latents"] + 9}).images
    kept = pipe.unet.runs[0].kept
    np.testing.assert_array_equal(images[kept.mask.repeat(4, 1) == 1], 0)
    assert (images[kept.mask.repeat(4, 1) == 0] > 4).all()


def test_unconditional_embeddings_are_shown_and_change_nothing(
    decoder: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def callback(pipe: Any, index: int, timestep: int, values: Any) -> Any:
        assert (values["negative_image_embeds"] == index).all()
        return {"negative_image_embeds": values["negative_image_embeds"] + 1}

    names = {"callback_on_step_end_tensor_inputs": ["negative_image_embeds"]}
    decoder(*EMBEDS, **REQUEST, callback_on_step_end=callback, **names)
    assert (decoder.unet.runs[0].conditioning["image_embeds"][0] == 0).all()
    assert "negative_image_embeds, which changes nothing" in caplog.text
    caplog.clear()
    seen = []
    names["callback_on_step_end"] = lambda *args: seen.append(args[-1]) or args[-1]
    decoder(EMBEDS[0], **REQUEST, guidance_scale=1, **names)
    assert seen == [{"negative_image_embeds": None}] * 3
    assert not caplog.records


class Watcher:
    """As diffusers' `PipelineCallback`: it names what it wants."""

    def __init__(self, *names: str) -> None:
        self.tensor_inputs = list(names)
        self.seen: list[Any] = []

    def __call__(self, pipe: Any, index: int, timestep: int, values: Any) -> Any:
        self.seen.append(sorted(values))
        return values


def test_a_callback_names_its_tensors_itself(decoder: Any) -> None:
    watcher = Watcher("image_embeds", "latents")
    decoder(*EMBEDS, **REQUEST, callback_on_step_end=watcher)
    assert watcher.seen == [["image_embeds", "latents"]] * 3
    with pytest.raises(InvalidInputError, match="tensor_inputs of callback_on_step_end names 'pro"):
        decoder(*EMBEDS, callback_on_step_end=Watcher("prompt_embeds"))


@pytest.mark.parametrize("every", [None, 1, 2])
def test_the_older_callback(decoder: Any, every: Any, caplog: pytest.LogCaptureFixture) -> None:
    seen = []

    def callback(step: int, timestep: int, latents: Any) -> str:
        seen.append((step, timestep, latents.shape))
        return "ignored"

    caplog.set_level(logging.WARNING, "kandinsky_core")
    decoder(*EMBEDS, **REQUEST, callback=callback, callback_steps=every)
    times = [int(time) for time in decoder.unet.runs[0].timesteps]
    expected = [(step, time, (1, 4, 4, 4)) for step, time in enumerate(times)]
    assert seen == expected[:: every or 1]
    assert "callback= is deprecated" in caplog.text


def test_the_older_callback_writes_into_the_latents_after_the_newer_one(decoder: Any) -> None:
    def older(step: int, timestep: int, latents: Any) -> None:
        assert (latents == 5).all()
        latents[:] = 7

    newer = {"callback_on_step_end": lambda *args: {"latents": np.full((1, 4, 4, 4), 5)}}
    assert (decoder(*EMBEDS, **REQUEST, callback=older, **newer).images == 7).all()


def test_the_older_callback_of_a_combined_pipeline_is_the_decoders() -> None:
    pipe, seen = combined_pipeline(), []
    pipe("a", num_inference_steps=2, callback=lambda *args: seen.append(args[2].shape))
    assert seen == [(1, 4, 4, 4)] * 2


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"callback": "f"}, "callback='f' is not callable"),
        ({"callback_steps": 0}, "callback_steps=0: give a whole number"),
        ({"callback_steps": 1.5}, "callback_steps=1.5: give a whole number"),
    ],
)
def test_older_arguments_are_checked(decoder: Any, given: Any, said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        decoder(*EMBEDS, **given)
    assert not decoder.unet.runs


class Halved:
    """A callback of a class that works with tensors."""

    def __call__(self, pipe: Any, index: int, timestep: Any, values: Any) -> Any:
        import torch

        assert isinstance(timestep, torch.Tensor)
        assert timestep.ndim == 0
        pipe._guidance_scale = torch.tensor(0.0)
        embeds = values["image_embeds"]
        return {"image_embeds": embeds.chunk(2)[-1] if index == 0 else embeds.clone()}

    def method(self, *args: Any) -> Any:
        return self(*args) if "torch" else None


def test_a_callback_that_works_with_tensors_gets_tensors(decoder: Any) -> None:
    torch = pytest.importorskip("torch")
    names = {"callback_on_step_end_tensor_inputs": ["image_embeds"]}
    decoder(*EMBEDS, **REQUEST, callback_on_step_end=Halved(), **names)
    np.testing.assert_array_equal(decoder.unet.runs[0].conditioning["image_embeds"], EMBEDS[0])

    def older(step: Any, timestep: Any, latents: Any) -> None:
        assert isinstance(latents, torch.Tensor)
        latents.fill_(3)

    assert (decoder(*EMBEDS, **REQUEST, callback=older).images == 3).all()


def test_who_works_with_tensors() -> None:
    torch = pytest.importorskip("torch")

    def closes_over(*_: Any) -> Any:
        return torch

    outside: dict[str, Any] = {"named_otherwise": torch}
    exec("def f(*_): pass", outside)
    for callback in (closes_over, partial(closes_over), Halved(), Halved().__call__, outside["f"]):
        assert uses_torch(callback), callback
    for callback in (None, len, lambda *_: None, Watcher(), "f", Watcher, print):
        assert not uses_torch(callback), callback
