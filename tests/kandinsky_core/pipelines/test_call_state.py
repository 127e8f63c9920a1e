"""What a pipeline tells of its calls, and callbacks that change guidance in the middle of one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from kandinsky_core.errors import InvalidInputError
from tests.support import fakes_2_1
from tests.support.fakes import WIDTH, combined_pipeline, decoder_pipeline, image_pipeline

EMBEDS: tuple[Any, Any] = (np.ones((2, WIDTH)), np.zeros((2, WIDTH)))
GREY, WHITE = np.full((16, 16, 3), 0.5, np.float32), np.ones((16, 16), np.float32)
STATE = ("guidance_scale", "num_timesteps", "do_classifier_free_guidance")


@pytest.fixture
def decoder() -> Any:
    pipe = decoder_pipeline()
    pipe.set_progress_bar_config(disable=True)
    return pipe


def state(pipe: Any) -> tuple[Any, ...]:
    return tuple(getattr(pipe, name) for name in STATE)


def call(pipe: Any, callback: Any = None, names: Any = ("latents",), **request: Any) -> Any:
    request = {"num_inference_steps": 3, "output_type": "latent", "seed": 0} | request
    return pipe(
        image_embeds=EMBEDS[0],
        negative_image_embeds=EMBEDS[1],
        **request,
        callback_on_step_end=callback,
        callback_on_step_end_tensor_inputs=names,
    ).images


@pytest.mark.parametrize("name", STATE)
def test_before_the_first_call_there_is_no_state(decoder: Any, name: str) -> None:
    for pipe in (decoder, combined_pipeline()):
        with pytest.raises(AttributeError, match=name):
            getattr(pipe, name)


def test_state_during_and_after_a_call(decoder: Any) -> None:
    seen = []
    call(decoder, lambda pipe, *_: seen.append(state(pipe)), guidance_scale=2.5)
    assert seen == [(2.5, 3, True)] * 3
    assert state(decoder) == (2.5, 3, True)
    call(decoder, guidance_scale=1, num_inference_steps=1)
    assert state(decoder) == (1, 1, False)


def test_halves_have_their_own_state_and_the_whole_shows_the_decoders() -> None:
    pipe, seen = combined_pipeline(), []
    pipe(
        "a",
        guidance_scale=2,
        prior_guidance_scale=3,
        num_inference_steps=2,
        prior_num_inference_steps=1,
        prior_callback_on_step_end=lambda half, *_: seen.append(state(half)),
        callback_on_step_end=lambda half, *_: seen.append((*state(half), *state(pipe))),
    )
    assert seen == [(3, 1, True), *[(2, 2, True) * 2] * 2]
    assert (state(pipe), state(pipe.prior_pipe)) == ((2, 2, True), (3, 1, True))


def test_calls_at_once_have_their_own_state(decoder: Any) -> None:
    with ThreadPoolExecutor(1) as elsewhere:
        seen = []

        def callback(pipe: Any, index: int, *_: Any) -> None:
            if index == 0:
                elsewhere.submit(call, decoder, None, guidance_scale=9, num_inference_steps=1)
                elsewhere.submit(lambda: None).result()
            seen.append(state(pipe))

        call(decoder, callback, guidance_scale=2.5)
    assert seen == [(2.5, 3, True)] * 3
    assert state(decoder) == (9, 1, True), "the loop that began last"


def test_another_thread_changes_the_guidance_of_calls_under_way(decoder: Any) -> None:
    with ThreadPoolExecutor(1) as elsewhere:

        def callback(pipe: Any, *_: Any) -> None:
            elsewhere.submit(setattr, pipe, "_guidance_scale", 5).result()

        call(decoder, callback, guidance_scale=2)
    assert decoder.unet.runs[0].scale == 5


def cutoff(pipe: Any, index: int, timestep: int, values: Any) -> Any:
    """The callback of diffusers' guide, which takes the conditional half at a step."""
    if index == 0:
        pipe._guidance_scale = np.float32(0)
        values = {name: np.split(value, 2)[1] for name, value in values.items()}
    return values


def left_as_it_is(pipe: Any, index: int, timestep: int, values: Any) -> None:
    if index == 0:
        pipe._guidance_scale = 0.0


@pytest.mark.parametrize("callback", [cutoff, left_as_it_is])
def test_guidance_is_switched_off_in_mid_loop(decoder: Any, callback: Any) -> None:
    call(decoder, callback, ["image_embeds"], guidance_scale=3)
    (run,) = decoder.unet.runs
    assert run.scale == 0
    np.testing.assert_array_equal(run.conditioning["image_embeds"], EMBEDS[0])
    guided, unguided = (
        call(decoder, guidance_scale=scale, num_inference_steps=1) for scale in (3, 1)
    )
    assert not np.array_equal(guided, unguided), "guidance shows in these pictures"


def test_a_new_weight_holds_from_the_next_step_on(decoder: Any) -> None:
    scales = []

    def callback(pipe: Any, index: int, *_: Any) -> None:
        scales.append(decoder.unet.runs[-1].scale)
        pipe._guidance_scale = 2.0 + index

    call(decoder, callback, guidance_scale=7)
    assert scales == [7, 2, 3]


def test_guidance_is_switched_on_with_unconditional_rows(decoder: Any) -> None:
    def callback(pipe: Any, index: int, timestep: int, values: Any) -> Any:
        if index == 0:
            pipe._guidance_scale = 3
            embeds = values["image_embeds"]
            return {"image_embeds": np.concatenate([embeds - 1, embeds])}
        return values

    call(decoder, callback, ["image_embeds"], guidance_scale=1)
    (run,) = decoder.unet.runs
    assert run.scale == 3
    np.testing.assert_array_equal(run.conditioning["image_embeds"], np.concatenate(EMBEDS[::-1]))


def test_guidance_without_unconditional_rows_is_refused(decoder: Any) -> None:
    def callback(pipe: Any, *_: Any) -> None:
        pipe._guidance_scale = 3

    with pytest.raises(InvalidInputError, match=r"switched guidance on: return image_embeds of s"):
        call(decoder, callback, guidance_scale=1)


@pytest.mark.parametrize("value", ["high", None, float("nan"), np.zeros(2)])
def test_guidance_that_is_no_number_is_refused(decoder: Any, value: Any) -> None:
    with pytest.raises(InvalidInputError, match="_guidance_scale="):
        call(decoder, lambda pipe, *_: setattr(pipe, "_guidance_scale", value))


@pytest.mark.parametrize("task", ["inpaint", "controlnet"])
def test_pictures_of_the_conditioning_follow_the_guidance(task: str) -> None:
    pipe = image_pipeline(task)
    inputs: dict[str, Any] = (
        {"image": GREY, "mask_image": WHITE} if task == "inpaint" else {"hint": GREY}
    )
    name = "image_latents" if task == "inpaint" else "hint"

    def callback(half: Any, index: int, timestep: int, values: Any) -> Any:
        half._guidance_scale = (0, 4)[index % 2]
        embeds = values["image_embeds"]
        return {"image_embeds": embeds if index % 2 == 0 else np.concatenate([embeds, embeds])}

    rows = []
    for steps in (1, 2):
        call(pipe, callback, ["image_embeds"], num_inference_steps=steps, **inputs)
        rows.append(len(pipe.unet.runs[-1].conditioning[name]))
    assert rows == [2, 4]


def test_interrupt_is_a_flag_and_a_method(decoder: Any) -> None:
    seen = []

    def callback(pipe: Any, index: int, *_: Any) -> None:
        seen.append(bool(pipe.interrupt))
        pipe.interrupt()
        seen.append(bool(pipe.interrupt))

    call(decoder, callback)
    assert seen == [False, True]
    assert not decoder.interrupt
    assert "call it" in repr(decoder.interrupt)


def test_decoders_of_2_1_follow_too() -> None:
    pipe = fakes_2_1.decoder("decoder")
    arguments = {"callback_on_step_end": left_as_it_is, "num_inference_steps": 2}
    pipe("a", *EMBEDS, output_type="latent", **arguments)
    (run,) = pipe.unet.runs
    assert {len(array) for array in run.conditioning.values()} == {2}
    assert pipe.guidance_scale == 0
